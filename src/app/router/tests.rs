//! Which homeserver answers, and what is answered without one.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use http::StatusCode;
use kv::MemoryEngine;
use serde_json::json;

use crate::testing::TestHomeserver;

async fn two() -> TestHomeserver {
    let config = "
        [[homeserver]]
        server_name = \"acme.example\"
        client_url = \"https://matrix.acme.example/\"
        federation_address = \"matrix.acme.example:443\"
        [[homeserver]]
        server_name = \"globex.example\"
        [http]
        trusted_proxies = [\"127.0.0.1\"]
        [rtc]
        livekit_service_url = \"https://livekit.example/jwt\"
    ";
    TestHomeserver::start(config, Arc::new(MemoryEngine::new(store::TABLES))).await
}

fn get(path: &str, host: &str) -> Request<Body> {
    Request::get(path)
        .header("host", host)
        .header("x-forwarded-proto", "https")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn the_versions_are_told_without_a_homeserver() {
    let server = TestHomeserver::start("", Arc::new(MemoryEngine::new(store::TABLES))).await;
    let (status, body) = server.get("/_matrix/client/versions", "").await;
    assert_eq!(status, StatusCode::OK);
    let versions = body["versions"].as_array().unwrap();
    assert!(versions.contains(&json!("v1.1")) && versions.contains(&json!("v1.19")));
    assert!(body["unstable_features"].is_object());
}

#[tokio::test]
async fn the_older_name_of_the_version_leads_to_the_same_endpoints() {
    let server = two().await;
    for version in ["v3", "r0"] {
        let path = format!("/_matrix/client/{version}/login?a=b");
        let (status, body) = server.send(get(&path, "acme.example")).await;
        assert_eq!(status, StatusCode::OK, "{version}");
        assert!(body["flows"].is_array());
    }
}

#[tokio::test]
async fn discovery_answers_for_the_host_that_was_asked() {
    let server = two().await;
    let client = "/.well-known/matrix/client";
    let (_, acme) = server.send(get(client, "acme.example")).await;
    assert_eq!(acme["m.homeserver"]["base_url"], "https://matrix.acme.example");
    assert_eq!(acme["org.matrix.msc4143.rtc_foci"][0]["type"], "livekit");
    let (_, globex) = server.send(get(client, "globex.example:8443")).await;
    assert_eq!(globex["m.homeserver"]["base_url"], "https://globex.example:8443");
    let (status, error) = server.send(get(client, "stranger.example")).await;
    assert_eq!((status, &error["errcode"]), (StatusCode::NOT_FOUND, &json!("M_NOT_FOUND")));

    let federation = "/.well-known/matrix/server";
    let (_, acme) = server.send(get(federation, "acme.example")).await;
    assert_eq!(acme, json!({"m.server": "matrix.acme.example:443"}));
    let (status, _) = server.send(get(federation, "globex.example")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "nothing is delegated");
}

#[tokio::test]
async fn unknown_endpoints_and_strangers_are_told_apart() {
    let server = two().await;
    let path = "/_matrix/client/v3/no/such/endpoint";
    let (status, body) = server.send(get(path, "acme.example")).await;
    assert_eq!((status, &body["errcode"]), (StatusCode::NOT_FOUND, &json!("M_UNRECOGNIZED")));
    let (status, body) = server.send(get(path, "stranger.example")).await;
    assert_eq!((status, &body["errcode"]), (StatusCode::NOT_FOUND, &json!("M_NOT_FOUND")));
    let (status, body) = server.ask("DELETE", "/_matrix/client/versions", "", json!(null)).await;
    let wrong_method = (StatusCode::METHOD_NOT_ALLOWED, &json!("M_UNRECOGNIZED"));
    assert_eq!((status, &body["errcode"]), wrong_method);
}

#[tokio::test]
async fn the_only_homeserver_answers_to_every_name() {
    let server = TestHomeserver::new().await;
    let (status, body) = server.send(get("/_matrix/client/v3/none", "127.0.0.1:8008")).await;
    assert_eq!((status, &body["errcode"]), (StatusCode::NOT_FOUND, &json!("M_UNRECOGNIZED")));
}

#[tokio::test]
async fn one_address_of_another_server_may_not_ask_without_end() {
    let config = "
        [rate_limits]
        federation = { per_second = 1, burst = 2 }
    ";
    let server = TestHomeserver::with_limits(config).await;
    let keys = "/_matrix/key/v2/server";
    for _ in 0..2 {
        assert_eq!(server.send(get(keys, "acme.example")).await.0, StatusCode::OK);
    }
    let (status, body) = server.send(get(keys, "acme.example")).await;
    let refused = (StatusCode::TOO_MANY_REQUESTS, &json!("M_LIMIT_EXCEEDED"));
    assert_eq!((status, &body["errcode"]), refused);
}

#[tokio::test]
async fn a_handler_that_panics_answers() {
    let router = axum::Router::new().fallback(async || -> () { panic!("clumsy") });
    let response = super::answer(router, get("/", "acme.example")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

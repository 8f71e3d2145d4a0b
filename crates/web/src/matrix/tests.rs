//! Requests in every shape against three endpoints.

use axum::{
    Router,
    body::Body,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post, put},
};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use ruma::api::client::{
    filter::get_filter, membership::join_room_by_id_or_alias, message::send_message_event,
    receipt::create_receipt, room::create_room, sync::sync_events,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Matrix, MatrixWithBody};
use crate::{Error, Json, Routes, cors};

const BODY_BYTES_MAX: usize = 1_000;

fn server() -> Router {
    Routes::new()
        .at(
            "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}",
            put(async |Matrix(r): Matrix<send_message_event::v3::Request>| {
                Json(json!({"room": r.room_id, "type": r.event_type, "txn": r.txn_id}))
            }),
        )
        .at(
            "/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}",
            post(async |_: Matrix<create_receipt::v3::Request>| {
                Matrix(create_receipt::v3::Response::new())
            }),
        )
        .at(
            "/_matrix/client/v3/join/{roomIdOrAlias}",
            post(async |Matrix(r): Matrix<join_room_by_id_or_alias::v3::Request>| {
                Json(json!({"room": r.room_id_or_alias}))
            }),
        )
        .at(
            "/_matrix/client/v3/createRoom",
            post(async |MatrixWithBody(r, body): MatrixWithBody<create_room::v3::Request>| {
                Json(json!({"name": r.name, "bytes": body.len()}))
            }),
        )
        .at(
            "/_matrix/client/v3/sync",
            get(async |Matrix(r): Matrix<sync_events::v3::Request>| {
                Json(json!({"since": r.since, "full_state": r.full_state}))
            }),
        )
        .at(
            "/_matrix/client/v3/user/{userId}/filter/{filterId}",
            get(async |_: Matrix<get_filter::v3::Request>| -> Result<Json<()>, Error> {
                Err(Error::not_found("No such filter"))
            }),
        )
        .into_router()
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(async |request, next: middleware::Next| {
            cors::allow_every_origin(match cors::preflight(&request) {
                Some(answer) => answer,
                None => next.run(request).await,
            })
        }))
}

async fn ask(method: &str, path: &str, body: impl Into<Body>) -> Response<Body> {
    let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    server().oneshot(request).await.unwrap()
}

async fn answer(method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let response = ask(method, path, body).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Status and error code.
async fn error(method: &str, path: &str, body: impl Into<Body>) -> (u16, String) {
    let (status, body) = answer(method, path, body).await;
    (status.as_u16(), body["errcode"].as_str().unwrap_or("none").to_owned())
}

const CREATE: &str = "/_matrix/client/v3/createRoom";

#[tokio::test]
async fn path_arguments_are_percent_decoded() {
    let path = "/_matrix/client/v3/rooms/%21r%3Aa.example/send/m.room.message/t%2F1%20x";
    let (status, body) = answer("PUT", path, "{}").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, json!({"room": "!r:a.example", "type": "m.room.message", "txn": "t/1 x"}));
}

#[tokio::test]
async fn an_event_id_with_an_escaped_slash_is_one_argument() {
    let path = "/_matrix/client/v3/rooms/!r:a/receipt/m.read/%24ab%2Fcd";
    assert_eq!(answer("POST", path, "{}").await, (StatusCode::OK, json!({})));
}

#[tokio::test]
async fn a_bad_identifier_in_the_path_is_an_invalid_parameter() {
    let path = "/_matrix/client/v3/rooms/nosigil/send/m.room.message/1";
    assert_eq!(error("PUT", path, "{}").await, (400, "M_INVALID_PARAM".into()));
    let path = "/_matrix/client/v3/rooms/%FF/send/m.room.message/1";
    assert_eq!(error("PUT", path, "{}").await, (400, "M_INVALID_PARAM".into()));
}

#[tokio::test]
async fn an_empty_body_is_an_empty_object() {
    let (status, body) = answer("POST", CREATE, "").await;
    assert_eq!((status, body), (StatusCode::OK, json!({"name": null, "bytes": 0})));
    let (status, body) = answer("POST", "/_matrix/client/v3/join/%23a:b.example", "").await;
    assert_eq!((status, body), (StatusCode::OK, json!({"room": "#a:b.example"})));
}

#[tokio::test]
async fn the_raw_body_comes_along() {
    let (_, body) = answer("POST", CREATE, r#"{"name":"x","new":1}"#).await;
    assert_eq!(body, json!({"name": "x", "bytes": 20}));
}

#[tokio::test]
async fn bad_bodies_are_told_apart() {
    for (body, code) in [
        ("{", "M_NOT_JSON"),
        ("name=x", "M_NOT_JSON"),
        ("[]", "M_BAD_JSON"),
        (r#"{"name":5}"#, "M_BAD_JSON"),
        (r#"{"preset":["x"]}"#, "M_BAD_JSON"),
    ] {
        assert_eq!(error("POST", CREATE, body).await, (400, code.into()), "{body}");
    }
    let not_utf8 = Vec::from(&b"{\"name\":\"\xc3\x28\"}"[..]);
    assert_eq!(error("POST", CREATE, not_utf8).await, (400, "M_NOT_JSON".into()));
}

#[tokio::test]
async fn too_large_a_body_is_refused() {
    let body = format!(r#"{{"name":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
    assert_eq!(error("POST", CREATE, body).await, (413, "M_TOO_LARGE".into()));
}

#[tokio::test]
async fn query_parameters_are_decoded_and_checked() {
    let path = "/_matrix/client/v3/sync?since=s1&full_state=true";
    assert_eq!(answer("GET", path, "").await.1, json!({"since": "s1", "full_state": true}));
    let path = "/_matrix/client/v3/sync?timeout=abc";
    assert_eq!(error("GET", path, "").await, (400, "M_INVALID_PARAM".into()));
}

#[tokio::test]
async fn a_body_on_get_is_ignored() {
    assert_eq!(answer("GET", "/_matrix/client/v3/sync", "{x").await.0, StatusCode::OK);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_unrecognized() {
    assert_eq!(error("GET", "/_matrix/client/v3/nope", "").await, (404, "M_UNRECOGNIZED".into()));
    assert_eq!(error("PATCH", CREATE, "").await, (405, "M_UNRECOGNIZED".into()));
}

#[tokio::test]
async fn every_answer_allows_every_origin() {
    for (method, path) in [
        ("OPTIONS", CREATE),
        ("OPTIONS", "/_matrix/client/v3/nope"),
        ("GET", "/_matrix/client/v3/nope"),
        ("GET", "/_matrix/client/v3/user/@a:b/filter/1"),
        ("POST", CREATE),
    ] {
        let response = ask(method, path, "").await;
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{method} {path}");
        assert!(response.headers().contains_key("access-control-allow-headers"));
        if method == "OPTIONS" {
            assert!(response.status().is_success());
        }
    }
}

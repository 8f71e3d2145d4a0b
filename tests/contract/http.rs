//! Requests for what does not exist.

use crate::started;
use harness::Options;
use reqwest::Method;

#[tokio::test]
async fn an_unknown_endpoint_is_404_and_a_wrong_method_is_405() {
    let server = started(Options::default()).await;
    let unknown: &[&[&str]] = &[
        &["_matrix", "client", "v3", "nowhere"],
        &["_matrix", "client", "v99", "sync"],
        &["_matrix", "federation", "v1", "nowhere"],
        &["_matrix", "media", "v3", "nowhere"],
        &["_matrix", "key", "v2", "nowhere"],
        &["_matrix", "nowhere"],
    ];
    for path in unknown {
        server.call(Method::GET, path).answer().await.refused(404, "M_UNRECOGNIZED");
    }
    let wrong: &[(Method, &[&str])] = &[
        (Method::DELETE, &["_matrix", "client", "v3", "login"]),
        (Method::POST, &["_matrix", "client", "versions"]),
        (Method::GET, &["_matrix", "client", "v3", "createRoom"]),
        (Method::POST, &["_matrix", "federation", "v1", "version"]),
        (Method::PATCH, &["_matrix", "key", "v2", "server"]),
    ];
    for (method, path) in wrong {
        server.call(method.clone(), path).answer().await.refused(405, "M_UNRECOGNIZED");
    }
}

#[tokio::test]
async fn a_host_that_is_no_homeserver_gets_no_homeserver() {
    let server = started(Options { homeservers: 2, ..Options::default() }).await;
    let path = ["_matrix", "key", "v2", "server"];
    for name in server.names() {
        let keys = server.call_at(name, Method::GET, &path).ok().await;
        assert_eq!(keys["server_name"], name.as_str());
    }
    let answer = server.call_at("stranger.example", Method::GET, &path).answer().await;
    assert!(answer.status.is_client_error(), "{answer}");
}

#[tokio::test]
async fn browsers_of_any_origin_may_call_the_client_api() {
    let server = started(Options::default()).await;
    for path in [&["_matrix", "client", "versions"][..], &["_matrix", "client", "v3", "nowhere"]] {
        let answer = server.call(Method::GET, path).answer().await;
        let origin = answer.headers.get("access-control-allow-origin").map(String::as_str);
        assert_eq!(origin, Some("*"), "{answer}");
    }
}

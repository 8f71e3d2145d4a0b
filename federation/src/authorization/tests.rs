//! Requests that are not what they were when they were signed.

use axum::{Extension, Router, middleware, routing::any};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt;
use model::signing_key::SigningKey;
use ruma::{
    ServerName,
    api::federation::authentication::{XMatrix, XMatrixSigningInput},
};
use serde_json::Value;
use tower::ServiceExt;

use super::{RemoteServer, authorise};
use crate::{
    Federation,
    worlds::{World, server},
};

/// Two homeservers; `a` asks `b`.
struct Pair {
    _world: World,
    a: Federation,
    b: Federation,
}

impl Pair {
    async fn new() -> Self {
        let mut world = World::new();
        let (a, b) = (world.home("a.example").await, world.home("b.example").await);
        Self { _world: world, a, b }
    }

    /// A request of `a`, correctly signed.
    fn signed(&self, method: &str, uri: &str, body: &str) -> Request<Bytes> {
        let key = &self.a.context().signing_key.current();
        signed(method, uri, body, &server("a.example"), &server("b.example"), key)
    }

    /// What `b` answers: who signed it, or the error.
    async fn ask(&self, request: Request<Bytes>) -> Result<String, (StatusCode, String)> {
        let router = Router::new()
            .fallback(any(async |remote: RemoteServer| remote.name().to_string()))
            .layer(middleware::from_fn(authorise))
            .layer(Extension(self.b.clone()));
        let answer = router.oneshot(request.map(axum::body::Body::from)).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        if status == StatusCode::OK {
            return Ok(String::from_utf8(body.to_vec()).unwrap());
        }
        let error: Value = serde_json::from_slice(&body).unwrap();
        Err((status, error["errcode"].as_str().unwrap().to_owned()))
    }

    async fn check_refused(&self, what: &str, request: Request<Bytes>) {
        let expected = Err((StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED".to_owned()));
        assert_eq!(self.ask(request).await, expected, "{what}");
    }
}

fn signed(
    method: &str,
    uri: &str,
    body: &str,
    origin: &ServerName,
    destination: &ServerName,
    key: &SigningKey,
) -> Request<Bytes> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let mut request = Request::builder().method(method).uri(uri).body(body).unwrap();
    let input = XMatrixSigningInput::new(origin.to_owned(), destination.to_owned(), key.key_pair());
    let header = XMatrix::sign_http_request(&request, input).unwrap();
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from(&header));
    request
}

const URI: &str = "/_matrix/federation/v1/send/1?a=b%20c&d=e";
const BODY: &str = r#"{"pdus":[],"edus":[]}"#;

#[tokio::test]
async fn a_signed_request_is_known_by_its_server() {
    let pair = Pair::new().await;
    assert_eq!(pair.ask(pair.signed("PUT", URI, BODY)).await.unwrap(), "a.example");
    assert_eq!(pair.ask(pair.signed("GET", URI, "")).await.unwrap(), "a.example");
    // Signatures are over canonical JSON.
    let mut spaced = pair.signed("PUT", URI, BODY);
    *spaced.body_mut() = Bytes::from_static(br#"{ "edus": [], "pdus": [] }"#);
    assert_eq!(pair.ask(spaced).await.unwrap(), "a.example");
}

#[tokio::test]
async fn whatever_is_changed_after_signing_is_noticed() {
    let pair = Pair::new().await;
    let mut request = pair.signed("PUT", URI, BODY);
    *request.method_mut() = http::Method::POST;
    pair.check_refused("method", request).await;
    for uri in [
        "/_matrix/federation/v1/send/2?a=b%20c&d=e",
        "/_matrix/federation/v1/send/1?d=e&a=b%20c",
        "/_matrix/federation/v1/send/1?a=b+c&d=e",
        "/_matrix/federation/v1/send/%31?a=b%20c&d=e",
        "/_matrix/federation/v1/send/1",
        "/_matrix/federation/v1//send/1?a=b%20c&d=e",
    ] {
        let mut request = pair.signed("PUT", URI, BODY);
        *request.uri_mut() = uri.parse().unwrap();
        pair.check_refused(uri, request).await;
    }
    for body in [r#"{"pdus":[],"edus":[1]}"#, r#"{"pdus":[]}"#, "", "{}", "no", r#"{"x":1.5}"#] {
        let mut request = pair.signed("PUT", URI, BODY);
        *request.body_mut() = Bytes::from_static(body.as_bytes());
        pair.check_refused(body, request).await;
    }
}

#[tokio::test]
async fn a_request_for_another_server_is_not_taken() {
    let pair = Pair::new().await;
    let key = &pair.a.context().signing_key.current();
    let (a, b, c) = (server("a.example"), server("b.example"), server("c.example"));
    let replayed = signed("PUT", URI, BODY, &a, &c, key);
    pair.check_refused("replayed", replayed).await;
    // Nor if what it says of its destination is taken out or replaced.
    let header = signed("PUT", URI, BODY, &a, &c, key).headers()[AUTHORIZATION].clone();
    let header = header.to_str().unwrap();
    for changed in
        [header.replace("destination=c.example,", ""), header.replace("c.example", "b.example")]
    {
        let mut request = signed("PUT", URI, BODY, &a, &b, key);
        request.headers_mut().insert(AUTHORIZATION, changed.parse().unwrap());
        pair.check_refused(&changed, request).await;
    }
}

#[tokio::test]
async fn a_server_from_before_the_destination_was_named_is_understood() {
    let pair = Pair::new().await;
    let mut request = pair.signed("PUT", URI, BODY);
    let header = request.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
    let header = header.replace("destination=b.example,", "");
    request.headers_mut().insert(AUTHORIZATION, header.parse().unwrap());
    assert_eq!(pair.ask(request).await.unwrap(), "a.example");
}

#[tokio::test]
async fn only_the_servers_own_current_key_counts() {
    let pair = Pair::new().await;
    let (a, b) = (server("a.example"), server("b.example"));
    let other = SigningKey::from_seed([9; 32], "1").unwrap();
    let forged = signed("PUT", URI, BODY, &a, &b, &other);
    pair.check_refused("another key under the same id", forged).await;
    let unknown = SigningKey::from_seed([9; 32], "2").unwrap();
    let forged = signed("PUT", URI, BODY, &a, &b, &unknown);
    pair.check_refused("unknown key id", forged).await;
    let ourselves = signed("PUT", URI, BODY, &b, &b, &pair.b.context().signing_key.current());
    pair.check_refused("ourselves", ourselves).await;
    let nobody = signed("PUT", URI, BODY, &server("c.example"), &b, &unknown);
    pair.check_refused("a server that cannot be reached", nobody).await;
}

#[tokio::test]
async fn headers_are_read_strictly() {
    let pair = Pair::new().await;
    let good = pair.signed("PUT", URI, BODY).headers()[AUTHORIZATION].clone();
    let good = good.to_str().unwrap();
    let without = |name: &str| {
        let parts = good.trim_start_matches("X-Matrix ").split(',');
        let parts: Vec<&str> = parts.filter(|part| !part.starts_with(name)).collect();
        format!("X-Matrix {}", parts.join(","))
    };
    for header in [
        String::new(),
        "X-Matrix".to_owned(),
        "Bearer token".to_owned(),
        good.replace("X-Matrix", "Y-Matrix"),
        without("origin"),
        without("key"),
        without("sig"),
        format!("{good},origin=a.example"),
        format!("{good},sig=AAAA"),
        good.replace("origin=a.example", "origin=\"a.example/\""),
        good.replace("origin=a.example", "origin=\"a.example:99999\""),
        good.replace("origin=a.example", "origin=A.example"),
    ] {
        let mut request = pair.signed("PUT", URI, BODY);
        request.headers_mut().insert(AUTHORIZATION, header.parse().unwrap());
        pair.check_refused(&header, request).await;
    }
    let mut missing = pair.signed("PUT", URI, BODY);
    missing.headers_mut().clear();
    pair.check_refused("no header", missing).await;
    let quoted = good.replace("origin=a.example", "origin=\"a.example\"").replace(",", " , ");
    let mut request = pair.signed("PUT", URI, BODY);
    request.headers_mut().insert(AUTHORIZATION, quoted.parse().unwrap());
    assert_eq!(pair.ask(request).await.unwrap(), "a.example");
}

#[tokio::test]
async fn several_headers_are_of_one_server_and_one_must_hold() {
    let pair = Pair::new().await;
    let (a, b) = (server("a.example"), server("b.example"));
    let other = SigningKey::from_seed([9; 32], "2").unwrap();
    let second = signed("PUT", URI, BODY, &a, &b, &other).headers()[AUTHORIZATION].clone();
    let mut request = pair.signed("PUT", URI, BODY);
    request.headers_mut().append(AUTHORIZATION, second.clone());
    assert_eq!(pair.ask(request).await.unwrap(), "a.example");

    let stranger = signed("PUT", URI, BODY, &server("c.example"), &b, &other);
    let mut request = pair.signed("PUT", URI, BODY);
    request.headers_mut().append(AUTHORIZATION, stranger.headers()[AUTHORIZATION].clone());
    pair.check_refused("two origins", request).await;

    let mut request = pair.signed("PUT", URI, BODY);
    for _ in 0..super::HEADERS_MAX {
        request.headers_mut().append(AUTHORIZATION, second.clone());
    }
    pair.check_refused("too many", request).await;
}

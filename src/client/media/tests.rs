//! Files on the wire.

use axum::body::Body;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::testing::{ACME, TestHomeserver};

const OPEN: &str = "[registration]\nenabled = true";

async fn server() -> (TestHomeserver, String) {
    let server = TestHomeserver::with_config(OPEN).await;
    let token = server.register("alice").await;
    (server, token)
}

fn request(method: &str, path: &str, token: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", ACME);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

async fn upload(
    server: &TestHomeserver,
    token: &str,
    content_type: &str,
    bytes: &[u8],
) -> (StatusCode, Value) {
    let path = "/_matrix/media/v3/upload?filename=a%20b.txt";
    let mut request = request("POST", path, token, &[("content-type", content_type)]);
    *request.body_mut() = Body::from(bytes.to_vec());
    server.send(request).await
}

/// The path under which an uploaded file is found.
fn download_path(uploaded: &Value) -> String {
    let address = uploaded["content_uri"].as_str().unwrap().strip_prefix("mxc://").unwrap();
    format!("/_matrix/client/v1/media/download/{address}")
}

async fn download(
    server: &TestHomeserver,
    path: &str,
    token: &str,
    headers: &[(&str, &str)],
) -> (Response<()>, Vec<u8>) {
    let response = server.respond(request("GET", path, token, headers)).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    (Response::from_parts(head, ()), body)
}

fn header<'a>(response: &'a Response<()>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn an_uploaded_file_comes_back_with_its_name_and_its_guards() {
    let (server, token) = server().await;
    let (status, uploaded) = upload(&server, &token, "text/plain", b"hello").await;
    assert_eq!(status, StatusCode::OK);
    let path = download_path(&uploaded);
    let (response, body) = download(&server, &path, &token, &[]).await;
    assert_eq!((response.status(), &*body), (StatusCode::OK, &b"hello"[..]));
    for (name, expected) in [
        ("content-type", "text/plain"),
        ("content-length", "5"),
        ("content-disposition", "inline; filename=\"a b.txt\""),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("cache-control", "private, max-age=86400, immutable"),
    ] {
        assert_eq!(header(&response, name), expected, "{name}");
    }
    assert!(
        header(&response, "content-security-policy").starts_with("sandbox; default-src 'none'")
    );
    let (response, _) = download(&server, &format!("{path}/other.txt"), &token, &[]).await;
    assert_eq!(header(&response, "content-disposition"), "inline; filename=other.txt");
}

/// S64.
#[tokio::test]
async fn what_a_browser_could_run_is_an_attachment() {
    let (server, token) = server().await;
    for content_type in [
        "text/html",
        "image/svg+xml",
        "application/xhtml+xml",
        "text/xml",
        "application/pdf",
        "application/javascript",
        "text/html; charset=utf-8",
        "TEXT/HTML",
        "text/plain,text/html",
        "nonsense",
        "",
    ] {
        let (_, uploaded) = upload(&server, &token, content_type, b"<script>").await;
        let (response, _) = download(&server, &download_path(&uploaded), &token, &[]).await;
        let disposition = header(&response, "content-disposition");
        assert!(disposition.starts_with("attachment"), "{content_type}: {disposition}");
    }
}

/// S62.
#[tokio::test]
async fn files_are_for_who_is_logged_in() {
    let (server, token) = server().await;
    let (_, uploaded) = upload(&server, &token, "text/plain", b"hello").await;
    let path = download_path(&uploaded);
    let (response, _) = download(&server, &path, "", &[]).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let old = path.replace("/client/v1/media/", "/media/v3/");
    for old in [old.clone(), format!("{old}/name")] {
        let answer = server.send(request("GET", &old, "", &[])).await;
        assert_eq!(
            (answer.0, &answer.1["errcode"]),
            (StatusCode::NOT_FOUND, &json!("M_NOT_FOUND"))
        );
        let (response, body) = download(&server, &old, &token, &[]).await;
        assert_eq!((response.status(), &*body), (StatusCode::OK, &b"hello"[..]));
    }
}

#[tokio::test]
async fn the_operator_may_keep_the_old_endpoints() {
    let config = format!("{OPEN}\n[media]\nunauthenticated = true");
    let server = TestHomeserver::with_config(&config).await;
    let token = server.register("alice").await;
    let (_, uploaded) = upload(&server, &token, "text/plain", b"hello").await;
    let old = download_path(&uploaded).replace("/client/v1/media/", "/media/v3/");
    let (response, body) = download(&server, &old, "", &[]).await;
    assert_eq!((response.status(), &*body), (StatusCode::OK, &b"hello"[..]));
    let foreign = "/_matrix/media/v3/download/other.example/abc";
    assert_eq!(download(&server, foreign, "", &[]).await.0.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_part_of_a_file_can_be_asked_for() {
    let (server, token) = server().await;
    let (_, uploaded) = upload(&server, &token, "video/mp4", b"0123456789").await;
    let path = download_path(&uploaded);
    for (range, status, expected, content_range) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=5-100", 206, "56789", "bytes 5-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=-0", 416, "", "bytes */10"),
        ("bytes=4-2", 200, "0123456789", ""),
        ("bytes=0-1,3-4", 200, "0123456789", ""),
        ("lines=1-2", 200, "0123456789", ""),
    ] {
        let (response, body) = download(&server, &path, &token, &[("range", range)]).await;
        let got = (response.status().as_u16(), String::from_utf8(body).unwrap());
        assert_eq!(got, (status, expected.to_owned()), "{range}");
        assert_eq!(header(&response, "content-range"), content_range, "{range}");
    }
    let (response, _) = download(&server, &path, &token, &[]).await;
    let tag = header(&response, "etag").to_owned();
    let (response, body) = download(&server, &path, &token, &[("if-none-match", &tag)]).await;
    assert_eq!((response.status(), body.len()), (StatusCode::NOT_MODIFIED, 0));
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused() {
    let config = format!("{OPEN}\n[media]\nupload_bytes_max = 1000");
    let server = TestHomeserver::with_config(&config).await;
    let token = server.register("alice").await;
    let (status, body) = upload(&server, &token, "text/plain", &[0; 1001]).await;
    assert_eq!((status, &body["errcode"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("M_TOO_LARGE")));
    let (_, config) = server.get("/_matrix/client/v1/media/config", &token).await;
    assert_eq!(config, json!({ "m.upload.size": 1000 }));
}

#[tokio::test]
async fn an_address_can_be_created_before_its_content() {
    let (server, token) = server().await;
    let create = "/_matrix/media/v1/create";
    let (status, created) = server.ask("POST", create, &token, json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert!(created["unused_expires_at"].is_u64());
    let path = download_path(&created);
    let early = server.get(&format!("{path}?timeout_ms=0"), &token).await;
    let code = (early.0.as_u16(), &early.1["errcode"]);
    assert_eq!(code, (504, &json!("M_NOT_YET_UPLOADED")));
    let address = path.strip_prefix("/_matrix/client/v1/media/download/").unwrap();
    let put = || {
        let mut request =
            request("PUT", &format!("/_matrix/media/v3/upload/{address}"), &token, &[]);
        *request.body_mut() = Body::from("late");
        server.send(request)
    };
    assert_eq!(put().await, (StatusCode::OK, json!({})));
    assert_eq!(download(&server, &path, &token, &[]).await.1, b"late");
    let again = put().await;
    let code = (again.0.as_u16(), &again.1["errcode"]);
    assert_eq!(code, (409, &json!("M_CANNOT_OVERWRITE_MEDIA")));
}

#[tokio::test]
async fn nothing_outside_is_reached_through_an_address() {
    let (server, token) = server().await;
    for path in [
        "acme.example/..%2f..%2fstore",
        "acme.example/%2e%2e",
        "acme.example/a%00b",
        "..%2f..%2f/abc",
        "acme.example/unknown",
    ] {
        let path = format!("/_matrix/client/v1/media/download/{path}");
        let (status, body) = server.get(&path, &token).await;
        assert!(matches!(status.as_u16(), 400 | 404), "{path}: {status} {body}");
    }
}

#[tokio::test]
async fn what_is_no_picture_has_no_thumbnail() {
    let (server, token) = server().await;
    let (_, uploaded) = upload(&server, &token, "image/png", b"no picture").await;
    let path = download_path(&uploaded).replace("/download/", "/thumbnail/");
    for (query, code) in [
        ("?width=64&height=64", "M_UNKNOWN"),
        ("?width=0&height=64", "M_INVALID_PARAM"),
        ("?width=-5&height=64", "M_INVALID_PARAM"),
        ("?width=64", "M_MISSING_PARAM"),
    ] {
        let (status, body) = server.get(&format!("{path}{query}"), &token).await;
        assert_eq!((status, &body["errcode"]), (StatusCode::BAD_REQUEST, &json!(code)), "{query}");
    }
}

use axum::{Router, response::Html, routing::get};
use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::json;

use crate::testing::TestHomeserver;

const PAGE: &str = r#"<head><meta property="og:title" content="Ledger">
    <meta property="og:image" content="/cover.png"></head>"#;

/// A web server with one page and its picture; answers its address.
async fn web() -> String {
    let mut cover = std::io::Cursor::new(Vec::new());
    let picture = image::DynamicImage::new_rgb8(3, 2);
    picture.write_to(&mut cover, image::ImageFormat::Png).unwrap();
    let cover = cover.into_inner();
    let router = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/cover.png", get(move || async move { ([(CONTENT_TYPE, "image/png")], cover) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/")
}

async fn preview(private: bool, url: &str) -> (StatusCode, serde_json::Value) {
    let config =
        format!("[registration]\nenabled = true\n[outbound]\nallow_private_addresses = {private}");
    let server = TestHomeserver::with_config(&config).await;
    let token = server.register("alice").await;
    server.get(&format!("/_matrix/client/v1/media/preview_url?url={url}"), &token).await
}

#[tokio::test]
async fn a_link_is_shown_with_what_its_page_says() {
    let (status, preview) = preview(true, &web().await).await;
    assert_eq!(status, StatusCode::OK, "{preview}");
    assert_eq!(preview["og:title"], json!("Ledger"));
    assert_eq!((&preview["og:image:width"], &preview["og:image:height"]), (&json!(3), &json!(2)));
    assert!(preview["og:image"].as_str().unwrap().starts_with("mxc://acme.example/"));
}

#[tokio::test]
async fn nobody_looks_into_our_own_network_through_a_preview() {
    let (status, _) = preview(false, &web().await).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    let (status, _) = preview(true, "file:///etc/passwd").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

//! One router, for many states.

use axum::{
    Extension, Router,
    body::Body,
    extract::{Path, Request},
    middleware::{self, Next},
    routing::get,
};
use http::{StatusCode, header::ALLOW};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::Routes;

fn router() -> Router {
    let guard = middleware::from_fn(async |mut request: Request, next: Next| {
        request.extensions_mut().insert("guarded");
        next.run(request).await
    });
    let name =
        async |Extension(state): Extension<String>, Path(name): Path<String>, request: Request| {
            format!("{state} {name} {:?}", request.extensions().get::<&str>())
        };
    let guarded = Routes::new().at("/guarded/{name}", get(name)).behind(guard);
    Routes::new().at("/open/{name}", get(name)).merge(guarded).into_router()
}

async fn ask(method: &str, path: &str, state: Option<&str>) -> (StatusCode, String, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(state) = state {
        request = request.extension(state.to_owned());
    }
    let answer = router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let allowed = answer.headers().get(ALLOW).map_or("", |allowed| allowed.to_str().unwrap());
    let (status, allowed) = (answer.status(), allowed.to_owned());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, allowed, String::from_utf8(body.into()).unwrap())
}

#[tokio::test]
async fn every_request_is_answered_for_the_state_that_it_brings() {
    for state in ["acme", "globex"] {
        let (status, _, body) = ask("GET", "/open/a", Some(state)).await;
        assert_eq!((status, body), (StatusCode::OK, format!("{state} a None")));
        let (_, _, body) = ask("GET", "/guarded/b", Some(state)).await;
        assert_eq!(body, format!("{state} b Some(\"guarded\")"));
    }
}

#[tokio::test]
async fn wrong_methods_and_paths_are_told_apart() {
    for path in ["/open/a", "/guarded/a"] {
        let (status, allowed, body) = ask("PUT", path, Some("acme")).await;
        assert_eq!((status, &*allowed), (StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD"), "{path}");
        assert!(body.contains("M_UNRECOGNIZED"), "{body}");
    }
    let (status, _, body) = ask("GET", "/nothing", Some("acme")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("M_UNRECOGNIZED"), "{body}");
}

#[tokio::test]
async fn a_request_without_a_state_is_our_mistake() {
    assert_eq!(ask("GET", "/open/a", None).await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

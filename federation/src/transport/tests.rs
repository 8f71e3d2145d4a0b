//! The way within the process: the same requests, the same bounds.

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, StatusCode, header::HOST};

use super::{Cost, Transport, TransportError};
use crate::worlds::server;

mod wire;

const COST: Cost = Cost { time_max: Duration::from_secs(5), bytes_max: 1_000 };

fn transport() -> std::sync::Arc<Transport> {
    let router = Router::new()
        .route("/host", get(async |headers: HeaderMap| headers[HOST].as_bytes().to_vec()))
        .route("/panic", get(broken))
        .route("/never", get(std::future::pending::<()>))
        .route("/endless", get(endless));
    let transport = Transport::within_process();
    transport.open(server("here.example"), router);
    transport
}

async fn broken() -> &'static str {
    panic!("a handler of another homeserver")
}

async fn endless() -> Body {
    Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 300])))
}

fn request(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn a_homeserver_of_the_process_is_reached_by_its_name() {
    let transport = transport();
    let answer = transport.send(&server("here.example"), request("/host"), COST).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.body(), "here.example");
    let other = transport.send(&server("there.example"), request("/host"), COST).await;
    assert!(matches!(other, Err(TransportError::NoWay)));
    transport.close(&server("here.example"));
    let closed = transport.send(&server("here.example"), request("/host"), COST).await;
    assert!(matches!(closed, Err(TransportError::NoWay)));
}

#[tokio::test]
async fn its_panic_is_a_broken_connection() {
    let answer = transport().send(&server("here.example"), request("/panic"), COST).await;
    assert!(matches!(answer, Err(TransportError::Broken)), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn its_silence_times_out() {
    let answer = transport().send(&server("here.example"), request("/never"), COST).await;
    assert!(matches!(answer, Err(TransportError::TimedOut)), "{answer:?}");
}

#[tokio::test]
async fn its_answer_is_cut_off_like_any_other() {
    let transport = transport();
    let answer = transport.send(&server("here.example"), request("/endless"), COST).await;
    assert!(matches!(answer, Err(TransportError::Outbound(_))), "{answer:?}");
    let answer = transport.stream(&server("here.example"), request("/endless"), COST).await;
    let pieces: Vec<_> = answer.unwrap().into_body().take(5).collect().await;
    assert_eq!(pieces.iter().filter(|piece| piece.is_ok()).count(), 3);
    assert!(pieces[3].is_err());
}

//! People who wait in front of a board, on connections of every kind.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Uri},
    routing::any,
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, watch},
    time::{Duration, Instant, pause, timeout},
};
use tokio_util::sync::CancellationToken;
use web::outbound::Call;

use super::LongPoll;
use crate::http::tests::{Server, raw, raw_over_tls, server_with};

const LONG: Duration = Duration::from_secs(60);
const ASK: &str = "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n";
const ASK_LAST: &str = "GET /wait HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const LEAVE: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Who asks waits until something is written on it.
#[derive(Clone)]
struct Board {
    text: Arc<watch::Sender<String>>,
    /// How long who asks would wait.
    timeout: Duration,
    stop: CancellationToken,
    /// One for each request that was parked.
    parked: Arc<Semaphore>,
    /// What the handler was asked, each time, and until when it would wait.
    asked: Arc<Mutex<Vec<(Uri, HeaderMap, Instant)>>>,
}

impl Board {
    async fn serve(timeout: Duration) -> (Self, Server) {
        let board = Self {
            text: Arc::default(),
            timeout,
            stop: CancellationToken::new(),
            parked: Arc::new(Semaphore::new(0)),
            asked: Arc::default(),
        };
        let routes = Router::new()
            .route("/wait", any(wait))
            .route("/large", any(async || "x".repeat(LARGE)))
            .with_state(board.clone());
        (board, server_with(routes, 1).await)
    }

    fn write(&self, text: &str) {
        self.text.send_replace(text.to_owned());
    }

    async fn somebody_is_parked(&self) {
        self.parked.acquire().await.unwrap().forget();
    }

    /// How often the handler began.
    fn times(&self) -> usize {
        self.asked.lock().len()
    }
}

/// More than the sockets of both sides and our buffers take together.
const LARGE: usize = 32 << 20;

async fn wait(State(board): State<Board>, request: Request) -> Result<String, web::Error> {
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    let poll = <LongPoll as axum::extract::FromRequest<()>>::from_request(request, &()).await?;
    let deadline = poll.deadline(board.timeout);
    board.asked.lock().push((uri, headers, deadline));
    let mut text = board.text.subscribe();
    let written = text.wait_for(|text| !text.is_empty());
    let _ = timeout(poll.patience(deadline), written).await;
    let (told, body) = (text.borrow_and_update().clone(), poll.body.clone());
    let manner = if poll.was_parked() { "parked" } else { "at once" };
    if told.is_empty() {
        let news = async move {
            // The connection was taken apart before anybody asks.
            board.parked.add_permits(1);
            let _ = text.changed().await;
        };
        poll.park(deadline, board.stop, news).await;
    }
    Ok(format!("[{told}{}, {manner}]", String::from_utf8_lossy(&body)))
}

#[tokio::test]
async fn who_waits_is_parked_and_told_the_news() {
    let (board, server) = Board::serve(LONG).await;
    let asking = tokio::spawn(raw(server.plain, ASK_LAST));
    board.somebody_is_parked().await;
    board.write("news");
    let answer = asking.await.unwrap();
    assert!(answer.ends_with("\r\n\r\n[news, parked]"), "{answer}");
    assert_eq!(board.times(), 2);
}

#[tokio::test]
async fn who_finds_news_is_not_parked() {
    let (board, server) = Board::serve(LONG).await;
    board.write("news");
    let answer = raw(server.plain, ASK_LAST).await;
    assert!(answer.ends_with("[news, at once]"), "{answer}");
}

#[tokio::test]
async fn a_parked_request_keeps_its_deadline() {
    let (board, server) = Board::serve(LONG).await;
    let asking = tokio::spawn(raw(server.plain, ASK_LAST));
    board.somebody_is_parked().await;
    // From now on time passes whenever nothing else happens.
    pause();
    let answer = asking.await.unwrap();
    assert!(answer.ends_with("[, parked]"), "{answer}");
    let asked = board.asked.lock();
    assert_eq!(asked[0].2, asked[1].2);
}

#[tokio::test]
async fn a_parked_request_comes_back_as_it_was() {
    let (board, server) = Board::serve(LONG).await;
    let ask = "POST /wait?a=%20b&c HTTP/1.1\r\nHost: a\r\nX-Twice: 1\r\nx-twice: 2\r\n\
               X-Bytes: \u{e9}\r\nX-Nothing:\r\nConnection: close\r\n\
               Transfer-Encoding: chunked\r\n\r\n3\r\n, b\r\n2\r\nye\r\n0\r\n\r\n";
    let asking = tokio::spawn(raw(server.plain, ask));
    board.somebody_is_parked().await;
    board.write("news");
    let answer = asking.await.unwrap();
    assert!(answer.ends_with("[news, bye, parked]"), "{answer}");
    let mut asked = board.asked.lock();
    assert_eq!(asked[1].1.remove("content-length").unwrap(), "5");
    assert_eq!(asked[0].1.remove("transfer-encoding").unwrap(), "chunked");
    assert_eq!(asked[0], asked[1]);
}

#[tokio::test]
async fn who_goes_away_waits_no_more() {
    let (board, server) = Board::serve(LONG).await;
    let mut socket = TcpStream::connect(server.plain).await.unwrap();
    socket.write_all(ASK.as_bytes()).await.unwrap();
    board.somebody_is_parked().await;
    drop(socket);
    board.text.closed().await;
    // There is room for one connection.
    while !raw(server.plain, LEAVE).await.starts_with("HTTP/1.1 200") {}
}

#[tokio::test]
async fn a_parked_connection_counts_as_one() {
    let (board, server) = Board::serve(LONG).await;
    let mut socket = TcpStream::connect(server.plain).await.unwrap();
    socket.write_all(ASK.as_bytes()).await.unwrap();
    board.somebody_is_parked().await;
    assert_eq!(raw(server.plain, LEAVE).await, "");
}

#[tokio::test]
async fn what_was_asked_together_is_answered_in_order() {
    let (board, server) = Board::serve(LONG).await;
    let asks = [ASK, ASK, LEAVE].concat();
    let asking = tokio::spawn(async move { raw(server.plain, &asks).await });
    board.somebody_is_parked().await;
    board.write("news");
    let answer = asking.await.unwrap();
    let bodies: Vec<_> = answer.split("\r\n").filter(|line| line.contains("[")).collect();
    assert_eq!(bodies.len(), 2, "{answer}");
    assert!(bodies[0].starts_with("[news, parked]") && bodies[1].starts_with("[news, at once]"));
    assert!(answer.ends_with("None"), "{answer}");
}

#[tokio::test]
async fn who_asks_more_meanwhile_is_answered_in_order() {
    let (board, server) = Board::serve(LONG).await;
    let mut socket = TcpStream::connect(server.plain).await.unwrap();
    socket.write_all(ASK.as_bytes()).await.unwrap();
    board.somebody_is_parked().await;
    socket.write_all(LEAVE.as_bytes()).await.unwrap();
    while board.times() < 2 {
        tokio::task::yield_now().await;
    }
    board.write("news");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("[news, parked]") && answer.ends_with("None"), "{answer}");
    assert_eq!(board.parked.available_permits(), 0, "it needs its buffers");
}

#[tokio::test]
async fn an_earlier_answer_is_sent_before_a_request_is_parked() {
    let (board, server) = Board::serve(LONG).await;
    let asks = ["GET /large HTTP/1.1\r\nhost: a\r\n\r\n", ASK_LAST].concat();
    let reading = tokio::spawn(async move { raw(server.plain, &asks).await });
    board.somebody_is_parked().await;
    board.write("news");
    let answer = reading.await.unwrap();
    assert!(answer.len() > LARGE && answer.ends_with("[news, parked]"));
}

#[tokio::test]
async fn parked_requests_are_answered_when_the_server_stops() {
    let (board, server) = Board::serve(LONG).await;
    let asking = tokio::spawn(raw(server.plain, ASK));
    board.somebody_is_parked().await;
    board.stop.cancel();
    server.drain.cancel();
    let answer = asking.await.unwrap();
    assert!(answer.ends_with("[, parked]"), "{answer}");
    server.task.await.unwrap();
}

#[tokio::test]
async fn who_waits_over_tls_is_parked_too() {
    let (board, server) = Board::serve(LONG).await;
    let asking = tokio::spawn(async move { raw_over_tls(&server, ASK_LAST).await });
    board.somebody_is_parked().await;
    board.write("news");
    let answer = asking.await.unwrap();
    assert!(answer.ends_with("[news, parked]"), "{answer}");
}

#[tokio::test]
async fn over_http2_nobody_is_parked() {
    let (board, server) = Board::serve(Duration::from_millis(20)).await;
    let call = Call::get("https://acme.example/wait").unwrap().via(vec![server.tls]);
    assert_eq!(server.outbound.send(call).await.unwrap().body, "[, at once]");
    assert_eq!(board.times(), 1);
}

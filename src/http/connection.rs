//! One connection: perhaps a TLS handshake, then HTTP/1.1, or HTTP/2 if the handshake chose it.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt;

use super::{
    Shared,
    deadline::WriteDeadline,
    parking::{Beginning, Parked, Spot},
    prompt::prompt,
    replay::Replay,
};

const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// For the head of a request; it is also how long a connection may idle between two of them.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;
const STREAMS_MAX: u32 = 200;
/// Streams that were reset before we could serve them: more is an attack ("rapid reset").
const RESETS_MAX: usize = 20;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIME_MAX: Duration = Duration::from_secs(15);

/// What is known of a request's connection; an extension of every request.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    /// Whether it is encrypted, and then the name that the other side asked for.
    pub(crate) tls: Option<Option<String>>,
}

pub(super) async fn serve(socket: TcpStream, peer: SocketAddr, shared: Shared) {
    // Answers are written whole: waiting for more only delays them.
    let _ = socket.set_nodelay(true);
    let Some(acceptor) = shared.tls.clone() else {
        return over_http1(socket, Connection { peer, tls: None }, shared).await;
    };
    let Some(socket) = Box::pin(shake_hands(acceptor, socket)).await else { return };
    let session = socket.get_ref().1;
    let name = session.server_name().map(str::to_lowercase);
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let connection = Connection { peer, tls: Some(name) };
    if is_http2 {
        Box::pin(over_http2(socket, connection, shared)).await;
    } else {
        over_http1(socket, connection, shared).await;
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    socket: TcpStream,
) -> Option<Box<TlsStream<TcpStream>>> {
    match timeout(HANDSHAKE_TIME_MAX, acceptor.accept(socket)).await {
        Ok(Ok(socket)) => return Some(Box::new(socket)),
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
    None
}

async fn over_http1<S>(mut socket: S, connection: Connection, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut beginning = Beginning::new();
    loop {
        // In a box, whose room is given back while a request is parked.
        let serving = Box::pin(until_parked(socket, beginning, &connection, &shared));
        let Some((left, parked)) = serving.await else { return };
        socket = left;
        let Some(resumed) = parked.wait(&mut socket).await else { return };
        beginning = resumed;
    }
}

/// Serves a connection to its end, or until it is to be parked, and then answers what is left of it.
async fn until_parked<S>(
    socket: S,
    beginning: Beginning,
    connection: &Connection,
    shared: &Shared,
) -> Option<(S, Parked)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let spot = Spot::new(shared.quiet, &beginning);
    let io = WriteDeadline::new(Replay { text: beginning.text, socket });
    let service = service(connection.clone(), Some(spot.clone()), shared.router.clone());
    let mut serving = http1().serve_connection(TokioIo::new(io), service);
    let mut drain = pin!(shared.drain.cancelled());
    let mut stopping = false;
    let ended = poll_fn(|cx| {
        loop {
            // Before anything else: a request that was parked must have begun, or a connection
            // that stops would drop it.
            if let Poll::Ready(ended) = Pin::new(&mut serving).poll(cx) {
                return Poll::Ready(ended.map(|()| None));
            }
            // Nothing waits to be written: a request is not read before earlier answers are sent.
            if let Some(parked) = spot.parked() {
                return Poll::Ready(Ok(Some(parked)));
            }
            if stopping || drain.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            stopping = true;
            Pin::new(&mut serving).graceful_shutdown();
        }
    });
    let mut parked = noted(prompt(ended).await)?;
    let http1::Parts { io, read_buf, .. } = serving.into_parts();
    let Replay { text, socket } = io.into_inner().into_inner();
    parked.followed_by(&read_buf);
    parked.followed_by(&text);
    Some((socket, parked))
}

async fn over_http2<S>(socket: S, connection: Connection, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service(connection, None, shared.router);
    let io = TokioIo::new(WriteDeadline::new(socket));
    let mut serving = pin!(http2().serve_connection(io, service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shared.drain.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    noted(ended.map(Some));
}

fn service(
    connection: Connection,
    spot: Option<Spot>,
    router: Router,
) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> + Unpin {
    let spot = Mutex::new(spot);
    service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection.clone());
        if let Some(spot) = spot.lock().as_mut() {
            request.extensions_mut().insert(spot.next());
        }
        router.clone().oneshot(request)
    })
}

/// What a connection ended with.
fn noted<T>(ended: hyper::Result<Option<T>>) -> Option<T> {
    ended.unwrap_or_else(|error| {
        tracing::debug!(%error, "connection ended early");
        None
    })
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIME_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX);
    builder
}

//! One connection: perhaps a TLS handshake, then HTTP/1.1, or HTTP/2 if the handshake chose it.

use std::{convert::Infallible, net::SocketAddr, pin::Pin, time::Duration};

use axum::{Router, body::Body};
use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Shared, deadline::WriteDeadline};

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
    let Shared { router, tls, drain, .. } = shared;
    let Some(acceptor) = tls else {
        let service = service(Connection { peer, tls: None }, router);
        let serving = http1().serve_connection(io(socket), service);
        return run(serving, http1::Connection::graceful_shutdown, drain).await;
    };
    match Box::pin(timeout(HANDSHAKE_TIME_MAX, acceptor.accept(socket))).await {
        Ok(Ok(socket)) => {
            let session = socket.get_ref().1;
            let name = session.server_name().map(str::to_lowercase);
            let is_http2 = session.alpn_protocol() == Some(b"h2");
            let service = service(Connection { peer, tls: Some(name) }, router);
            if is_http2 {
                let serving = http2().serve_connection(io(socket), service);
                run(serving, http2::Connection::graceful_shutdown, drain).await;
            } else {
                let serving = http1().serve_connection(io(socket), service);
                run(serving, http1::Connection::graceful_shutdown, drain).await;
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

fn io<S: AsyncRead + AsyncWrite>(socket: S) -> TokioIo<WriteDeadline<S>> {
    TokioIo::new(WriteDeadline::new(socket))
}

fn service(
    connection: Connection,
    router: Router,
) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> {
    service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection.clone());
        router.clone().oneshot(request)
    })
}

/// Serves a connection to its end; `stop` lets it end after the requests in progress.
fn run<C: Future<Output = hyper::Result<()>>>(
    serving: C,
    stop: fn(Pin<&mut C>),
    drain: CancellationToken,
) -> impl Future<Output = ()> {
    // In a box, so that no connection takes the room of one of another protocol, nor its own twice.
    let mut serving = Box::pin(serving);
    async move {
        let result = tokio::select! {
            result = serving.as_mut() => result,
            () = drain.cancelled() => {
                stop(serving.as_mut());
                serving.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "connection ended early");
        }
    }
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

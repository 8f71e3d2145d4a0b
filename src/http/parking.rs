//! Requests that wait for minutes, without the buffers of their connection.
//!
//! Most of an idle long-poll would be what a request in progress needs: buffers to read and to
//! write, and a handler amid its work. A handler that has nothing to tell for a while *parks* its
//! request ([`LongPoll::park`]), which takes the connection apart ([`Parked`]): what is left is the
//! socket, the request as text, and the one thing to wait for. When that happens, the connection
//! begins anew with the same request before everything that the socket has to say. The request is
//! handled again, but keeps the time at which it arrived.
//!
//! Only requests over HTTP/1.1 are parked: on a connection of HTTP/2 others go on beside them.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::{
    extract::{FromRequest, OriginalUri, Request},
    http::{
        Version,
        header::{CONTENT_LENGTH, EXPECT, TRAILER, TRANSFER_ENCODING},
    },
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Where the requests of one connection are parked; an extension of each of them.
#[derive(Clone)]
pub(super) struct Spot {
    /// How long a handler waits before it parks its request.
    quiet: Duration,
    parked: Arc<Mutex<Option<Parked>>>,
    /// Of the first request, and no other: what it comes back from.
    resumed: Option<Resumed>,
}

/// A request that was parked.
#[derive(Clone, Copy)]
struct Resumed {
    arrived: Instant,
    /// Whether the other side ended the wait by sending something. To wait for more of it, the
    /// connection needs its buffers.
    was_interrupted: bool,
}

/// A request that waits without a connection around it.
pub(super) struct Parked {
    /// As it came over the wire, and whatever came after it.
    text: Vec<u8>,
    arrived: Instant,
    wake: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// How a connection begins.
pub(super) struct Beginning {
    /// Comes before whatever is read from the socket.
    pub(super) text: Bytes,
    resumed: Option<Resumed>,
}

/// As the argument of a handler: a request that may be parked. Its body was read.
pub(crate) struct LongPoll {
    pub(crate) body: Bytes,
    head: Vec<u8>,
    arrived: Instant,
    was_parked: bool,
    /// `None`: it may not be parked.
    spot: Option<Spot>,
}

impl Spot {
    pub(super) fn new(quiet: Duration, beginning: &Beginning) -> Self {
        Self { quiet, parked: Arc::default(), resumed: beginning.resumed }
    }

    /// For the connection's next request.
    pub(super) fn next(&mut self) -> Self {
        Self { resumed: self.resumed.take(), ..self.clone() }
    }

    /// The request that is to be parked.
    pub(super) fn parked(&self) -> Option<Parked> {
        self.parked.lock().take()
    }
}

impl Parked {
    /// What was read after the request.
    pub(super) fn followed_by(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    /// Waits until it is time to go on; `None` if the other side goes away meanwhile.
    pub(super) async fn wait<S: AsyncRead + Unpin>(mut self, socket: &mut S) -> Option<Beginning> {
        let mut sent = [0];
        let was_interrupted = tokio::select! {
            biased;
            () = &mut self.wake => false,
            read = socket.read(&mut sent) => match read {
                Ok(1..) => true,
                Ok(0) | Err(_) => return None,
            },
        };
        if was_interrupted {
            self.text.extend(sent);
        }
        let resumed = Some(Resumed { arrived: self.arrived, was_interrupted });
        Some(Beginning { text: self.text.into(), resumed })
    }
}

impl Beginning {
    pub(super) fn new() -> Self {
        Self { text: Bytes::new(), resumed: None }
    }
}

impl LongPoll {
    /// Whether it was parked before: whatever it does besides waiting was done then.
    pub(crate) fn was_parked(&self) -> bool {
        self.was_parked
    }

    /// When a wait is over that lasts so long from the request's first arrival.
    pub(crate) fn deadline(&self, timeout: Duration) -> Instant {
        self.arrived + timeout
    }

    /// How long a handler waits itself that would wait until `deadline`.
    pub(crate) fn patience(&self, deadline: Instant) -> Duration {
        let left = deadline.saturating_duration_since(Instant::now());
        self.spot.as_ref().map_or(left, |spot| left.min(spot.quiet))
    }

    /// Ends the handler, to begin it anew at `deadline`, at `stop` or when there is `news`. Returns
    /// if it is time to answer, or if the request cannot be parked.
    pub(crate) async fn park(
        self,
        deadline: Instant,
        stop: CancellationToken,
        news: impl Future<Output = ()> + Send + 'static,
    ) {
        let Some(spot) = self.spot else { return };
        if Instant::now() >= deadline || stop.is_cancelled() {
            return;
        }
        let wake = Box::pin(async move {
            tokio::select! {
                () = news => {}
                () = stop.cancelled() => {}
                () = sleep_until(deadline) => {}
            }
        });
        let text = with_body(self.head, &self.body);
        *spot.parked.lock() = Some(Parked { text, arrived: self.arrived, wake });
        // The connection looks after each of its steps, and drops us.
        std::future::pending().await
    }
}

impl<S: Send + Sync> FromRequest<S> for LongPoll {
    type Rejection = web::Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, web::Error> {
        let head = head(&request);
        let spot = request.extensions().get::<Spot>().cloned();
        let resumed = spot.as_ref().and_then(|spot| spot.resumed);
        let was_interrupted = resumed.is_some_and(|resumed| resumed.was_interrupted);
        let body = web::body::read(web::body::limited(request).into_body()).await?;
        Ok(Self {
            body,
            head,
            arrived: resumed.map_or_else(Instant::now, |resumed| resumed.arrived),
            was_parked: resumed.is_some(),
            spot: spot.filter(|_| !was_interrupted),
        })
    }
}

/// Request line and headers without those that tell how the body is sent: it is sent whole.
fn head(request: &Request) -> Vec<u8> {
    let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |uri| &uri.0);
    let version = if request.version() == Version::HTTP_10 { "1.0" } else { "1.1" };
    let mut head = format!("{} {uri} HTTP/{version}\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        if ![CONTENT_LENGTH, EXPECT, TRAILER, TRANSFER_ENCODING].contains(name) {
            for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(piece);
            }
        }
    }
    head
}

fn with_body(mut head: Vec<u8>, body: &[u8]) -> Vec<u8> {
    if !body.is_empty() {
        head.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(body);
    head.shrink_to_fit();
    head
}

#[cfg(test)]
mod tests;

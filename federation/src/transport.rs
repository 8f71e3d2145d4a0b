//! How a signed request reaches the server that it is for: over the wire, or, when that server is
//! a homeserver of this process, by handing the same request to its router.
//!
//! The way within the process skips sockets and TLS and nothing else: the receiver gets the same
//! method, URI, headers and body, and checks the signature as it would for a stranger.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream, stream::BoxStream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use parking_lot::RwLock;
use ruma::{OwnedServerName, ServerName};
use tower::ServiceExt;
use web::outbound::{Call, Outbound, OutboundError};

use crate::discovery::{Discovery, DiscoveryError};

#[cfg(test)]
mod tests;

/// What a request may cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From finding the server to the last byte of its answer.
    pub time_max: Duration,
    /// Bytes of the answer's body.
    pub bytes_max: u64,
}

/// Why a request got no answer. An answer with an error status is an answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("the server cannot be found")]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the server took too long")]
    TimedOut,
    /// It is of this process, and broke the connection, as it were.
    #[error("the server ended without an answer")]
    Broken,
    /// It is not of this process, and nothing else can be reached.
    #[error("there is no way to the server")]
    NoWay,
}

impl TransportError {
    /// Whether the server is to be left alone for a while.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Discovery(_) | Self::TimedOut | Self::Broken | Self::NoWay => true,
            Self::Outbound(error) => error.is_unreachable(),
        }
    }
}

/// A body that comes in pieces.
pub type Pieces = BoxStream<'static, Result<Bytes, TransportError>>;

/// See the module. One for the process.
pub struct Transport {
    here: RwLock<HashMap<OwnedServerName, Router>>,
    wire: Option<Wire>,
}

struct Wire {
    outbound: Outbound,
    discovery: Discovery,
}

impl Transport {
    /// Reaches the homeservers of this process and all others.
    pub fn new(outbound: Outbound, discovery: Discovery) -> Arc<Self> {
        let wire = Some(Wire { outbound, discovery });
        Arc::new(Self { here: RwLock::default(), wire })
    }

    /// Reaches the homeservers of this process only.
    pub fn within_process() -> Arc<Self> {
        Arc::new(Self { here: RwLock::default(), wire: None })
    }

    /// Lets the homeservers of this process reach this one directly, through its router of the
    /// Server-Server API.
    pub fn open(&self, server: OwnedServerName, router: Router) {
        self.here.write().insert(server, router);
    }

    /// The homeserver is no longer of this process.
    pub fn close(&self, server: &ServerName) {
        self.here.write().remove(server);
    }

    /// Sends a request, whose URI is a path with its query, and reads the whole answer.
    pub async fn send(
        &self,
        server: &ServerName,
        request: Request<Bytes>,
        cost: Cost,
    ) -> Result<Response<Bytes>, TransportError> {
        let work = async {
            match self.router_of(server) {
                Some(router) => {
                    let (head, body) = call(router, server, request).await?.into_parts();
                    let body = collect(body, cost.bytes_max).await?;
                    Ok(Response::from_parts(head, body))
                }
                None => self.send_by_wire(server, request, cost).await,
            }
        };
        tokio::time::timeout(cost.time_max, work).await.map_err(|_| TransportError::TimedOut)?
    }

    /// Sends a request and hands the answer's body over in pieces. The time limits the wait for
    /// the answer's head, and for each piece.
    pub async fn stream(
        &self,
        server: &ServerName,
        request: Request<Bytes>,
        cost: Cost,
    ) -> Result<Response<Pieces>, TransportError> {
        let work = async {
            match self.router_of(server) {
                Some(router) => {
                    let answer = call(router, server, request).await?;
                    Ok(answer.map(|body| pieces(body, cost)))
                }
                None => self.stream_by_wire(server, request, cost).await,
            }
        };
        tokio::time::timeout(cost.time_max, work).await.map_err(|_| TransportError::TimedOut)?
    }

    /// Fetches an `https` address that another server redirected us to (media on a storage
    /// service), without our signature.
    pub async fn stream_from(
        &self,
        url: &str,
        cost: Cost,
    ) -> Result<Response<Pieces>, TransportError> {
        let wire = self.wire.as_ref().ok_or(TransportError::NoWay)?;
        let call = Call::get(url)?.time_max(cost.time_max).bytes_max(cost.bytes_max);
        streamed(&wire.outbound, call.follow_redirects()).await
    }

    fn router_of(&self, server: &ServerName) -> Option<Router> {
        self.here.read().get(server).cloned()
    }

    async fn send_by_wire(
        &self,
        server: &ServerName,
        request: Request<Bytes>,
        cost: Cost,
    ) -> Result<Response<Bytes>, TransportError> {
        let (wire, call) = self.wire_call(server, request, cost).await?;
        let answer = wire.outbound.send(call).await?;
        Ok(response(answer.status, answer.headers, answer.body))
    }

    async fn stream_by_wire(
        &self,
        server: &ServerName,
        request: Request<Bytes>,
        cost: Cost,
    ) -> Result<Response<Pieces>, TransportError> {
        let (wire, call) = self.wire_call(server, request, cost).await?;
        streamed(&wire.outbound, call).await
    }

    async fn wire_call(
        &self,
        server: &ServerName,
        request: Request<Bytes>,
        cost: Cost,
    ) -> Result<(&Wire, Call), TransportError> {
        let wire = self.wire.as_ref().ok_or(TransportError::NoWay)?;
        let target = wire.discovery.find(server).await?;
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut call = Call::new(head.method, &format!("{}{path}", target.base))?
            .time_max(cost.time_max)
            .bytes_max(cost.bytes_max);
        for (name, value) in &head.headers {
            call = call.header(name.clone(), value.clone());
        }
        if let Some(host) = target.host {
            call = call.header(HOST, host);
        }
        if !body.is_empty() {
            call = call.body(HeaderValue::from_static("application/json"), body);
        }
        if !target.addresses.is_empty() {
            call = call.via(target.addresses);
        }
        Ok((wire, call))
    }
}

/// Hands the request to a homeserver of this process. Its panic is its own affair.
async fn call(
    router: Router,
    server: &ServerName,
    request: Request<Bytes>,
) -> Result<Response<Body>, TransportError> {
    let mut request = request.map(Body::from);
    if let Ok(host) = HeaderValue::from_str(server.as_str()) {
        request.headers_mut().insert(HOST, host);
    }
    match AssertUnwindSafe(router.oneshot(request)).catch_unwind().await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(infallible)) => match infallible {},
        Err(_) => Err(TransportError::Broken),
    }
}

async fn collect(body: Body, bytes_max: u64) -> Result<Bytes, TransportError> {
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(OutboundError::TooLarge { limit: bytes_max }.into())
        }
        Err(_) => Err(TransportError::Broken),
    }
}

fn pieces(body: Body, cost: Cost) -> Pieces {
    let stream = body.into_data_stream().map(|piece| piece.map_err(|_| TransportError::Broken));
    let mut left = cost.bytes_max;
    let limited = stream.map(move |piece| {
        let piece = piece?;
        let less = left.checked_sub(piece.len() as u64);
        left = less.ok_or(OutboundError::TooLarge { limit: cost.bytes_max })?;
        Ok(piece)
    });
    limited.boxed()
}

async fn streamed(outbound: &Outbound, call: Call) -> Result<Response<Pieces>, TransportError> {
    let mut answer = outbound.stream(call).await?;
    let (status, headers) = (answer.status, std::mem::take(&mut answer.headers));
    let pieces = stream::try_unfold(answer, async |mut answer| {
        Ok(answer.piece().await?.map(|piece| (piece, answer)))
    });
    Ok(response(status, headers, pieces.boxed()))
}

fn response<T>(status: StatusCode, headers: HeaderMap, body: T) -> Response<T> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

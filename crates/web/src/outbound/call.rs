//! What to ask of whom, and what it may cost.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE},
};
use serde::Serialize;
use url::Url;

use super::OutboundError;

const TIME_MAX: Duration = Duration::from_secs(30);
const BYTES_MAX: u64 = 1_000_000;
/// The most hops that a call may ask to follow.
const REDIRECTS_MAX: u8 = 3;

/// Whether a call's address is anybody's idea, or the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Only addresses that the policy allows.
    Public,
    /// Any address: the operator wrote it into a configuration file (an application service, say).
    Configured,
}

/// A request to be made by [`Outbound`](super::Outbound). Without further words it may take 30 s,
/// its answer 1 MB, and it follows no redirect.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) time_max: Duration,
    pub(super) bytes_max: u64,
    pub(super) redirects_max: u8,
    pub(super) reach: Reach,
    pub(super) via: Option<Vec<SocketAddr>>,
    redirects_done: u8,
}

impl Call {
    pub fn new(method: Method, url: &str) -> Result<Self, OutboundError> {
        let url = Url::parse(url).map_err(|_| OutboundError::BadUrl("it cannot be parsed"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(OutboundError::BadUrl("it is neither https nor http"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundError::BadUrl("it has a user or password"));
        }
        Ok(Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            time_max: TIME_MAX,
            bytes_max: BYTES_MAX,
            redirects_max: 0,
            reach: Reach::Public,
            via: None,
            redirects_done: 0,
        })
    }

    pub fn get(url: &str) -> Result<Self, OutboundError> {
        Self::new(Method::GET, url)
    }

    /// A request that ruma has encoded.
    pub fn from_http(request: http::Request<impl Into<Bytes>>) -> Result<Self, OutboundError> {
        let (head, body) = request.into_parts();
        let mut call = Self::new(head.method, &head.uri.to_string())?;
        call.headers = head.headers;
        call.body = body.into();
        Ok(call)
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub fn body(mut self, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, content_type);
        self.body = body.into();
        self
    }

    pub fn json(self, value: &impl Serialize) -> Result<Self, OutboundError> {
        let body = serde_json::to_vec(value).map_err(OutboundError::Encode)?;
        Ok(self.body(HeaderValue::from_static("application/json"), body))
    }

    /// The whole call, redirects and body included.
    pub fn time_max(mut self, time: Duration) -> Self {
        self.time_max = time;
        self
    }

    /// Bytes of the answer's body.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Follows up to three redirects; only `GET` and `HEAD` do.
    pub fn follow_redirects(mut self) -> Self {
        if matches!(self.method, Method::GET | Method::HEAD) {
            self.redirects_max = REDIRECTS_MAX;
        }
        self
    }

    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Connects to one of these addresses, whatever DNS says about the URL's host. TLS and `Host`
    /// stay those of the URL, which must not have a port: this is how a server that is found by an
    /// SRV record is called. The policy holds for these addresses too.
    pub fn via(mut self, addresses: Vec<SocketAddr>) -> Self {
        self.via = Some(addresses);
        self
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn redirects_left(&self) -> u8 {
        self.redirects_max - self.redirects_done
    }

    pub(super) fn redirect_to(&mut self, next: Url) {
        if self.url.origin() != next.origin() {
            for secret in [AUTHORIZATION, COOKIE] {
                self.headers.remove(secret);
            }
        }
        self.redirects_done += 1;
        self.via = None;
        // Whoever answers the first hop chose this one, not the operator.
        self.reach = Reach::Public;
        self.url = next;
    }
}

//! One HTTP request of a client, and its answer.

use crate::authority::Authority;
use reqwest::{Certificate, Client, ClientBuilder, Method, RequestBuilder, StatusCode, Url};
use rustls::crypto::ring;
use serde_json::Value;
use std::{collections::HashMap, fmt::Debug, sync::Arc, time::Duration};

const TIMEOUT: Duration = Duration::from_secs(90);

/// A way to one homeserver: where to connect, and whom to ask for.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    base: Url,
    /// The homeserver's name goes into `Host`, whatever port the request comes in at.
    host: String,
    tap: Option<Arc<dyn Tap>>,
}

/// Sits on the wire between the clients of a test and their servers. It may spoil what passes, so
/// that one sees whether the test notices.
pub trait Tap: Debug + Send + Sync {
    /// An answer in the server's stead, which then never hears of the request.
    fn instead(&self, what: &str) -> Option<(StatusCode, Vec<u8>)>;
    /// Sees the server's answer, and may change it.
    fn pass(&self, what: &str, answer: &mut Answer);
}

impl Http {
    /// A way to a homeserver (`host`) that listens at `base`.
    pub fn new(base: &str, host: &str) -> Self {
        Self::build(base, host, |client| client)
    }

    /// A way that may use TLS, and trusts the servers of a test only.
    pub fn trusting(authority: &Authority, base: &str, host: &str) -> Self {
        let pem = std::fs::read(authority.ca_file()).expect("the authority's certificate");
        let ca = Certificate::from_pem(&pem).expect("a certificate");
        Self::build(base, host, |client| client.tls_certs_only([ca]))
    }

    fn build(base: &str, host: &str, more: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        // Another test of this process may have installed it; it is the same one.
        let _ = ring::default_provider().install_default();
        let client = Client::builder().no_proxy().http1_only().timeout(TIMEOUT);
        let client = more(client).build().expect("an HTTP client");
        Self { client, base: base.parse().expect("a URL"), host: host.into(), tap: None }
    }

    /// The same client and wire, asking for another homeserver that listens at `base`.
    pub fn to(&self, base: &str, host: &str) -> Self {
        Self { base: base.parse().expect("a URL"), host: host.into(), ..self.clone() }
    }

    /// The same with somebody on the wire.
    pub fn tapped(&self, tap: Arc<dyn Tap>) -> Self {
        Self { tap: Some(tap), ..self.clone() }
    }

    /// The same homeserver, reached at another base.
    pub(crate) fn moved_to(&self, base: &str) -> Self {
        Self { base: base.parse().expect("a URL"), ..self.clone() }
    }

    /// A request; each segment of the path is percent-encoded here.
    pub fn call(&self, method: Method, path: &[&str]) -> Call {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("an HTTP URL").pop_if_empty().extend(path);
        let what = format!("{method} {}", url.path());
        let request = self.client.request(method, url).header("host", &self.host);
        Call { request, what, tap: self.tap.clone() }
    }
}

/// A request that is being put together.
#[derive(Debug)]
pub struct Call {
    request: RequestBuilder,
    what: String,
    tap: Option<Arc<dyn Tap>>,
}

/// The answer to a request, of whatever status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status of the answer.
    pub status: StatusCode,
    /// Its headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// Its body.
    pub bytes: Vec<u8>,
    what: String,
}

/// No answer came: whether the server did it is unknown.
#[derive(Clone, Debug)]
pub struct Lost(pub String);

impl Call {
    /// Adds a JSON body.
    pub fn json(mut self, body: &Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// Adds a body of some type.
    pub fn bytes(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.request = self.request.header("content-type", content_type).body(body);
        self
    }

    /// Adds query parameters.
    pub fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        // reqwest's own `query` is a feature that the product does not need.
        let (client, request) = self.request.build_split();
        let mut request = request.unwrap_or_else(|e| panic!("{}: {e}", self.what));
        request.url_mut().query_pairs_mut().extend_pairs(pairs);
        self.request = RequestBuilder::from_parts(client, request);
        self
    }

    /// Adds an access token.
    pub fn token(mut self, token: &str) -> Self {
        self.request = self.request.bearer_auth(token);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Path and query as they go over the wire.
    pub fn target(&self) -> String {
        let request = self.request.try_clone().and_then(|request| request.build().ok());
        let request = request.unwrap_or_else(|| panic!("{} cannot be built", self.what));
        let query = request.url().query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", request.url().path())
    }

    /// Sends it; the server may be gone.
    pub async fn attempt(self) -> Result<Answer, Lost> {
        if let Some((status, bytes)) = self.tap.as_ref().and_then(|tap| tap.instead(&self.what)) {
            return Ok(Answer { status, headers: HashMap::new(), bytes, what: self.what });
        }
        let lost = |e: reqwest::Error| Lost(format!("{}: {e:?}", self.what));
        let response = self.request.send().await.map_err(lost)?;
        let status = response.status();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into())
            })
            .collect();
        let bytes = response.bytes().await.map_err(lost)?.to_vec();
        let mut answer = Answer { status, headers, bytes, what: self.what.clone() };
        if let Some(tap) = &self.tap {
            tap.pass(&self.what, &mut answer);
        }
        Ok(answer)
    }

    /// Sends it; there must be an answer.
    pub async fn answer(self) -> Answer {
        self.attempt().await.unwrap_or_else(|Lost(why)| panic!("no answer to {why}"))
    }

    /// Sends it; it must succeed.
    pub async fn ok(self) -> Value {
        self.answer().await.ok()
    }
}

impl Answer {
    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// The body of a request that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self}");
        self.json()
    }

    /// The body, as it came, of a request that must have succeeded.
    #[track_caller]
    pub fn ok_bytes(self) -> Vec<u8> {
        assert!(self.status.is_success(), "{self}");
        self.bytes
    }

    /// Checks that it is this error.
    #[track_caller]
    pub fn refused(&self, status: u16, errcode: &str) {
        assert_eq!((self.status.as_u16(), self.errcode().as_str()), (status, errcode), "{self}");
    }

    /// The Matrix error code, or nothing.
    pub fn errcode(&self) -> String {
        self.json()["errcode"].as_str().unwrap_or_default().to_owned()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} → {} {}", self.what, self.status, String::from_utf8_lossy(&self.bytes))
    }
}

//! The one client through which everything calls out: federation, discovery, push gateways,
//! application services, webhooks, previews.
//!
//! Whoever can make us call an address must not reach what only we can reach. So the policy is
//! applied to the resolved address at the moment of connecting, which no second DNS answer can
//! get around, and again on every hop of a redirect. Every call has a deadline and a cap on the
//! bytes of its answer; nothing is decompressed.

mod answer;
mod call;
mod error;
mod names;
mod policy;
mod resolve;
mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{Client, Response, redirect};
use url::{Host, Url};

pub use self::{
    answer::{Answer, Streamed},
    call::{Call, Reach},
    error::OutboundError,
    names::{NameError, Names, Service, SystemNames},
    policy::AddressPolicy,
    tls::TlsError,
};
use self::{
    policy::Denied,
    resolve::{DirectResolver, RoutedResolver, Routes},
};

/// Time for DNS, TCP and TLS together.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const POOL_IDLE_TIME_MAX: Duration = Duration::from_secs(60);
const POOL_IDLE_PER_HOST_MAX: usize = 4;
const HEADER_BYTES_MAX: u32 = 64 * 1024;
const HEADERS_MAX: usize = 100;
const USER_AGENT: &str = concat!("Kontor/", env!("CARGO_PKG_VERSION"));

/// What the operator decides about calls to the outside.
#[derive(Clone, Debug, Default)]
pub struct OutboundSettings {
    pub policy: AddressPolicy,
    /// Certificates in PEM that are trusted besides the system's.
    pub extra_roots_pem: Vec<u8>,
    /// The DNS server that is asked instead of the system's.
    pub name_server: Option<SocketAddr>,
}

/// See the module. Cheap to clone; one for the whole process.
#[derive(Clone)]
pub struct Outbound {
    inner: Arc<Inner>,
}

struct Inner {
    /// Connects where DNS says, if the policy allows.
    direct: Client,
    /// Connects where the call says, if the policy allows.
    routed: Client,
    routes: Arc<Routes>,
    /// Connects where DNS says: only for what the operator configured.
    configured: Client,
    policy: AddressPolicy,
    names: Arc<dyn Names>,
}

impl Outbound {
    pub fn new(settings: OutboundSettings) -> Result<Self, TlsError> {
        let names = settings.name_server.map_or_else(SystemNames::new, SystemNames::asking);
        Self::with_names(settings, Arc::new(names))
    }

    /// The same with another way to look up names.
    pub fn with_names(settings: OutboundSettings, names: Arc<dyn Names>) -> Result<Self, TlsError> {
        let tls = tls::client_config(&settings.extra_roots_pem)?;
        let policy = settings.policy;
        let anywhere = AddressPolicy::allow_all();
        let routes = Arc::new(Routes::new(policy.clone()));
        let inner = Inner {
            direct: client(&tls, DirectResolver { names: names.clone(), policy: policy.clone() })?,
            routed: client(&tls, RoutedResolver(routes.clone()))?,
            routes,
            configured: client(&tls, DirectResolver { names: names.clone(), policy: anywhere })?,
            policy,
            names,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// DNS, for server discovery.
    pub fn names(&self) -> &dyn Names {
        &*self.inner.names
    }

    /// Makes the call and reads the whole answer, whatever its status.
    pub async fn send(&self, call: Call) -> Result<Answer, OutboundError> {
        let (time, limit) = (call.time_max, call.bytes_max);
        let work = async {
            let response = self.follow(call).await?;
            Answer::read(response, limit).await
        };
        tokio::time::timeout(time, work).await.map_err(|_| OutboundError::Timeout)?
    }

    /// Makes the call and hands the answer's body over in pieces. The call's time limits the wait
    /// for the answer's head, and then the wait for each piece.
    pub async fn stream(&self, call: Call) -> Result<Streamed, OutboundError> {
        let (time, limit) = (call.time_max, call.bytes_max);
        let response = tokio::time::timeout(time, self.follow(call))
            .await
            .map_err(|_| OutboundError::Timeout)??;
        Streamed::new(response, limit, time)
    }

    /// Makes the call, and those that redirects ask for.
    async fn follow(&self, mut call: Call) -> Result<Response, OutboundError> {
        loop {
            let url = call.url.clone();
            let response = self.once(&call).await?;
            match next_hop(&call, &url, &response)? {
                Some(next) => call.redirect_to(next),
                None => return Ok(response),
            }
        }
    }

    /// One hop.
    async fn once(&self, call: &Call) -> Result<Response, OutboundError> {
        self.check_literal(call)?;
        let client = match (&call.via, call.reach) {
            (Some(addresses), _) => {
                let host = call.url.host_str().ok_or(OutboundError::BadUrl("it has no host"))?;
                self.inner.routes.set(host, addresses)?;
                &self.inner.routed
            }
            (None, Reach::Public) => &self.inner.direct,
            (None, Reach::Configured) => &self.inner.configured,
        };
        let request = client
            .request(call.method.clone(), call.url.clone())
            .headers(call.headers.clone())
            .body(call.body.clone());
        request.send().await.map_err(OutboundError::from_reqwest)
    }

    /// Addresses that stand in the URL itself never reach a resolver. (`Url` has already turned
    /// decimal, octal and hexadecimal spellings into addresses.)
    fn check_literal(&self, call: &Call) -> Result<(), OutboundError> {
        let address = match call.url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(OutboundError::BadUrl("it has no host")),
        };
        if call.reach == Reach::Configured || self.inner.policy.allows(address) {
            return Ok(());
        }
        Err(OutboundError::DeniedAddress)
    }
}

/// Where the answer sends us, if it is a redirect that the call wants to follow.
fn next_hop(call: &Call, url: &Url, response: &Response) -> Result<Option<Url>, OutboundError> {
    if !response.status().is_redirection() || call.redirects_max == 0 {
        return Ok(None);
    }
    let Some(location) = response.headers().get(http::header::LOCATION) else { return Ok(None) };
    if call.redirects_left() == 0 {
        return Err(OutboundError::Redirect("there are too many"));
    }
    let next = location
        .to_str()
        .ok()
        .and_then(|location| url.join(location).ok())
        .ok_or(OutboundError::Redirect("its target is no URL"))?;
    match (url.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(Some(next)),
        _ => Err(OutboundError::Redirect("it leaves HTTPS")),
    }
}

fn client(
    tls: &rustls::ClientConfig,
    resolver: impl reqwest::dns::Resolve + 'static,
) -> Result<Client, TlsError> {
    Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .dns_resolver(Arc::new(resolver))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIME_MAX)
        .pool_idle_timeout(POOL_IDLE_TIME_MAX)
        .pool_max_idle_per_host(POOL_IDLE_PER_HOST_MAX)
        .http1_max_headers(HEADERS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .build()
        .map_err(|error| TlsError::Client(error.into()))
}

#[cfg(test)]
mod tests;

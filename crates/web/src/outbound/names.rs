//! Looking up names.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
};

/// Addresses of one name that are used at most.
const ADDRESSES_MAX: usize = 16;
const SERVICES_MAX: usize = 32;
const LOOKUP_TIME_MAX: Duration = Duration::from_secs(3);
const CACHED_LOOKUPS_MAX: u64 = 4_096;
/// How long the absence of a name is believed at most.
const ABSENCE_TIME_MAX: Duration = Duration::from_secs(60);

/// Where something runs, as an SRV record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub target: String,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum NameError {
    /// DNS says so; asking again soon is no use.
    #[error("there is no such name")]
    NotFound,
    #[error("DNS does not answer: {0}")]
    Failed(Arc<str>),
}

/// A way to look up names: DNS, or a table in a test.
pub trait Names: Send + Sync + 'static {
    /// The addresses of a host, at least one.
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NameError>>;

    /// The SRV records of a name such as `_matrix-fed._tcp.example.org`, at least one, unordered.
    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Service>, NameError>>;
}

/// The system's hosts file and name servers, with a cache.
pub struct SystemNames(Option<TokioResolver>);

impl SystemNames {
    /// Reads the system's configuration; without one, only the hosts file is used.
    pub fn new() -> Self {
        let builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
            tracing::warn!(%error, "no usable DNS configuration: names are looked up in the hosts file");
            TokioResolver::builder_with_config(
                ResolverConfig::default(),
                TokioRuntimeProvider::default(),
            )
        });
        Self(build(builder))
    }

    /// Asks one name server, over UDP, and nobody else.
    pub fn asking(server: SocketAddr) -> Self {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_name_servers(vec![server]);
        Self(build(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())))
    }
}

impl Default for SystemNames {
    fn default() -> Self {
        Self::new()
    }
}

impl Names for SystemNames {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NameError>> {
        Box::pin(async move {
            let resolver = self.resolver()?;
            let found = resolver.lookup_ip(host).await.map_err(|error| explain(&error))?;
            not_empty(found.iter().take(ADDRESSES_MAX).collect())
        })
    }

    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Service>, NameError>> {
        Box::pin(async move {
            let resolver = self.resolver()?;
            let found = resolver.srv_lookup(name).await.map_err(|error| explain(&error))?;
            let services = found.answers().iter().filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(Service {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: srv.target.to_utf8().trim_end_matches('.').to_owned(),
                }),
                _ => None,
            });
            not_empty(services.take(SERVICES_MAX).collect())
        })
    }
}

impl SystemNames {
    fn resolver(&self) -> Result<&TokioResolver, NameError> {
        self.0.as_ref().ok_or_else(|| NameError::Failed("there is no resolver".into()))
    }
}

type Builder = hickory_resolver::ResolverBuilder<TokioRuntimeProvider>;

fn build(mut builder: Builder) -> Option<TokioResolver> {
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = LOOKUP_TIME_MAX;
    options.cache_size = CACHED_LOOKUPS_MAX;
    options.negative_max_ttl = Some(ABSENCE_TIME_MAX);
    builder
        .build()
        .inspect_err(|error| tracing::error!(%error, "the DNS resolver cannot be built"))
        .ok()
}

fn explain(error: &NetError) -> NameError {
    if error.is_nx_domain() || error.is_no_records_found() {
        NameError::NotFound
    } else {
        NameError::Failed(error.to_string().into())
    }
}

fn not_empty<T>(found: Vec<T>) -> Result<Vec<T>, NameError> {
    if found.is_empty() { Err(NameError::NotFound) } else { Ok(found) }
}

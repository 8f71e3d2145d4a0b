//! Where a server name leads: to which addresses, with which name in TLS and in `Host`.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names>

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::HeaderValue;
use model::{clock::Clock, ids::Ids};
use ruma::ServerName;
use web::outbound::{NameError, Outbound, Service};

#[cfg(test)]
pub(crate) mod tests;
mod well_known;

use well_known::WellKnown;

/// Addresses that are tried at most for one server.
const ADDRESSES_MAX: usize = 8;
/// The names under which DNS tells where a server runs, the newer one first.
const SERVICE_NAMES: [&str; 2] = ["_matrix-fed._tcp", "_matrix._tcp"];

/// Ports that the specification fixes. Tests have others, because these may be taken.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Where a host tells of its server.
    pub https: u16,
    /// Where a server listens if nothing else is said.
    pub federation: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { https: 443, federation: 8448 }
    }
}

/// How to call a server. Its certificate must be for the host of `base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The start of the URL: `https://host` or `https://host:port`.
    pub base: String,
    /// Where to connect; if empty, to the host and port of `base`.
    pub addresses: Vec<SocketAddr>,
    /// The `Host` header, where it is not that of `base`.
    pub host: Option<HeaderValue>,
}

/// Why a server cannot be found.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error("the server has no address")]
    NoAddress,
    #[error("the server's addresses cannot be looked up")]
    Names(#[source] NameError),
}

/// Finds servers. One for the process: what it remembers is public.
pub struct Discovery {
    outbound: Outbound,
    ids: Arc<dyn Ids>,
    well_known: WellKnown,
    ports: Ports,
}

impl Discovery {
    pub fn new(outbound: Outbound, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self::with_ports(outbound, clock, ids, Ports::default())
    }

    /// The same with other ports than those of the specification.
    pub fn with_ports(
        outbound: Outbound,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        ports: Ports,
    ) -> Self {
        let well_known = WellKnown::new(outbound.clone(), clock, ports.https);
        Self { outbound, ids, well_known, ports }
    }

    /// Where to call the server. Addresses are asked of DNS each time (which caches them), so that
    /// a server that moves is found.
    pub async fn find(&self, server: &ServerName) -> Result<Target, DiscoveryError> {
        // 1. The hostname is an IP literal. 2. The server name includes an explicit port.
        if let Some(target) = self.explicit(server) {
            return Ok(target);
        }
        // 3. /.well-known/matrix/server. What it says is treated as 3.1 to 3.5, which are the
        // steps 1, 2, 4, 5 and 6 for the delegated name.
        if let Some(delegated) = self.well_known.get(server.host()).await {
            return match self.explicit(&delegated) {
                Some(target) => Ok(target),
                None => self.by_name(delegated.host()).await,
            };
        }
        self.by_name(server.host()).await
    }

    /// A server name that says itself where to connect.
    fn explicit(&self, server: &ServerName) -> Option<Target> {
        let host = server.host();
        if let Some(port) = server.port() {
            let base = format!("https://{host}:{port}");
            return Some(Target { base, addresses: Vec::new(), host: None });
        }
        if !server.is_ip_literal() {
            return None;
        }
        let base = format!("https://{host}:{}", self.ports.federation);
        // The Host header is the server name, which has no port here.
        Some(Target { base, addresses: Vec::new(), host: HeaderValue::from_str(host).ok() })
    }

    /// 4. and 5. SRV records. 6. Port 8448 of the host itself.
    async fn by_name(&self, host: &str) -> Result<Target, DiscoveryError> {
        let names = self.outbound.names();
        for service in SERVICE_NAMES {
            match names.services(&format!("{service}.{host}")).await {
                Ok(services) => return self.of_services(host, services).await,
                Err(NameError::NotFound) => {}
                // A broken name server for SRV records is common; the host may be found all the
                // same.
                Err(error @ NameError::Failed(_)) => tracing::debug!(%error, host, "no SRV"),
            }
        }
        let found = names.addresses(host).await.map_err(DiscoveryError::Names)?;
        target(host, at_port(found, self.ports.federation).collect())
    }

    async fn of_services(
        &self,
        host: &str,
        services: Vec<Service>,
    ) -> Result<Target, DiscoveryError> {
        let mut addresses = Vec::new();
        let mut failed = None;
        for service in in_order(services, &*self.ids) {
            if addresses.len() >= ADDRESSES_MAX {
                break;
            }
            match self.outbound.names().addresses(&service.target).await {
                Ok(found) => addresses.extend(at_port(found, service.port)),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if addresses.is_empty() => Err(DiscoveryError::Names(error)),
            _ => target(host, addresses),
        }
    }
}

fn target(host: &str, mut addresses: Vec<SocketAddr>) -> Result<Target, DiscoveryError> {
    if addresses.is_empty() {
        return Err(DiscoveryError::NoAddress);
    }
    addresses.truncate(ADDRESSES_MAX);
    Ok(Target { base: format!("https://{host}"), addresses, host: None })
}

fn at_port(addresses: Vec<IpAddr>, port: u16) -> impl Iterator<Item = SocketAddr> {
    addresses.into_iter().map(move |address| SocketAddr::new(address, port))
}

/// The services in the order in which they are to be tried: the lowest priority first; among equal
/// ones at random, the heavier the likelier (RFC 2782).
fn in_order(mut services: Vec<Service>, ids: &dyn Ids) -> Vec<Service> {
    // The target "." says that there is no such service.
    services.retain(|service| !service.target.is_empty());
    let mut ordered = Vec::with_capacity(services.len());
    while let Some(priority) = services.iter().map(|service| service.priority).min() {
        let of_priority = |service: &Service| service.priority == priority;
        // One is added to each weight, so that those of weight 0 have a chance, too.
        let weight = |service: &Service| u64::from(service.weight) + 1;
        let total: u64 = services.iter().filter(|s| of_priority(s)).map(weight).sum();
        let mut drawn = ids.number() % total;
        let chosen = services.iter().position(|service| {
            if !of_priority(service) {
                return false;
            }
            let (left, below) = drawn.overflowing_sub(weight(service));
            drawn = left;
            below
        });
        // `drawn` is below the sum of the weights, so one of them was chosen.
        ordered.push(services.swap_remove(chosen.unwrap_or(0)));
    }
    ordered
}

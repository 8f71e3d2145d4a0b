//! Who asks, and which host: as the connection says, or a reverse proxy that we trust.

use std::{net::IpAddr, sync::Arc};

use axum::extract::Request;
use http::{HeaderMap, HeaderName, header::HOST};
use ipnet::IpNet;

use super::Connection;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whose word on the true origin of a request counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Arc<[IpNet]>);

/// Where a request comes from; an extension of every request.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Of the client, never of a trusted proxy that is named correctly. For limits; not to be
    /// logged.
    pub(crate) address: IpAddr,
    /// What the client believes to talk to: in lower case, perhaps with a port.
    pub(crate) host: Option<String>,
    /// The name in the TLS handshake.
    pub(crate) tls_name: Option<String>,
    /// Whether the client's connection is encrypted, as far as we know.
    pub(crate) secure: bool,
}

impl Origin {
    /// The URL under which the client reached us.
    pub(crate) fn base_url(&self) -> Option<String> {
        let scheme = if self.secure { "https" } else { "http" };
        self.host.as_ref().map(|host| format!("{scheme}://{host}"))
    }
}

impl TrustedProxies {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The last address on the way that is not one of ours: everything before it may be invented.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer.to_canonical();
        }
        let mut client = peer.to_canonical();
        let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        for hop in hops.iter().rev() {
            let Some(address) = parse_hop(hop) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn secure(&self, peer: IpAddr, connection: Option<&Connection>, headers: &HeaderMap) -> bool {
        let forwarded = headers.get(FORWARDED_PROTO).filter(|_| self.trusts(peer));
        match forwarded {
            Some(protocol) => protocol.as_bytes() == b"https",
            None => connection.is_some_and(|connection| connection.tls.is_some()),
        }
    }

    fn host(&self, peer: IpAddr, request: &Request) -> Option<String> {
        let header = |name: HeaderName| request.headers().get(name)?.to_str().ok();
        let forwarded = Some(peer)
            .filter(|peer| self.trusts(*peer))
            .and_then(|_| header(FORWARDED_HOST)?.split(',').next_back());
        forwarded
            .or_else(|| request.uri().authority().map(|authority| authority.as_str()))
            .or_else(|| header(HOST))
            .map(|host| host.trim().to_lowercase())
            .filter(|host| !host.is_empty())
    }
}

/// Works out the [`Origin`], and notes it in the request.
pub(crate) fn find(proxies: &TrustedProxies, request: &mut Request) {
    let connection = request.extensions().get::<Connection>().cloned();
    // Requests that the process makes to itself have no connection.
    let peer = connection.as_ref().map_or(IpAddr::from([127, 0, 0, 1]), |c| c.peer.ip());
    let origin = Origin {
        address: proxies.client(peer, request.headers()),
        host: proxies.host(peer, request),
        secure: proxies.secure(peer, connection.as_ref(), request.headers()),
        tls_name: connection.and_then(|connection| connection.tls.flatten()),
    };
    request.extensions_mut().insert(origin);
}

/// An address of `X-Forwarded-For`, perhaps with a port, as some proxies write it.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let address = hop
        .parse::<IpAddr>()
        .or_else(|_| hop.parse::<std::net::SocketAddr>().map(|address| address.ip()))
        .or_else(|_| hop.trim_matches(['[', ']']).parse());
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests;

//! Where reqwest may connect: only here does a name become an address, and only allowed ones pass.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
};

use lru::LruCache;
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{AddressPolicy, Denied, NameError, Names, OutboundError};

/// Hosts whose addresses are remembered between the call that sets them and its connecting.
const ROUTES_MAX: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// Asks DNS, and keeps what the policy allows.
pub(super) struct DirectResolver {
    pub(super) names: Arc<dyn Names>,
    pub(super) policy: AddressPolicy,
}

impl Resolve for DirectResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, policy) = (self.names.clone(), self.policy.clone());
        Box::pin(async move {
            let mut addresses = names.addresses(name.as_str()).await?;
            addresses.retain(|address| policy.allows(*address));
            if addresses.is_empty() {
                return Err(Denied.into());
            }
            // Port 0 stands for the port of the URL.
            let addresses =
                addresses.into_iter().map(|address: IpAddr| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// Addresses, with ports, that calls have named for their hosts.
pub(super) struct Routes {
    policy: AddressPolicy,
    by_host: Mutex<LruCache<String, Vec<SocketAddr>>>,
}

impl Routes {
    pub(super) fn new(policy: AddressPolicy) -> Self {
        Self { policy, by_host: Mutex::new(LruCache::new(ROUTES_MAX)) }
    }

    pub(super) fn set(&self, host: &str, addresses: &[SocketAddr]) -> Result<(), OutboundError> {
        let allowed: Vec<SocketAddr> =
            addresses.iter().copied().filter(|address| self.policy.allows(address.ip())).collect();
        if allowed.is_empty() {
            return Err(OutboundError::DeniedAddress);
        }
        self.by_host.lock().put(host.to_owned(), allowed);
        Ok(())
    }
}

/// Answers with the addresses that the call named.
pub(super) struct RoutedResolver(pub(super) Arc<Routes>);

impl Resolve for RoutedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.0.by_host.lock().get(name.as_str()).cloned();
        Box::pin(async move {
            let addresses = addresses.ok_or(NameError::NotFound)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

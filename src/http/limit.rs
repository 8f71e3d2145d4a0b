//! How many connections may be open: of everybody, and of one address.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use parking_lot::Mutex;
use web::limits::limited_address;

pub(super) struct ConnectionLimit {
    all_max: usize,
    per_address_max: usize,
    /// Reverse proxies: behind their address are many.
    exempt: Vec<IpNet>,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// An open connection; it counts until it is dropped.
pub(super) struct Permit {
    open: Arc<Mutex<Open>>,
    address: Option<IpAddr>,
}

impl ConnectionLimit {
    pub(super) fn new(all_max: usize, per_address_max: usize, exempt: Vec<IpNet>) -> Self {
        Self { all_max, per_address_max, exempt, open: Arc::default() }
    }

    pub(super) fn enter(&self, peer: IpAddr) -> Option<Permit> {
        let peer = peer.to_canonical();
        let exempt = self.exempt.iter().any(|network| network.contains(&peer));
        let address = (!exempt).then(|| limited_address(peer));
        let mut open = self.open.lock();
        if open.all >= self.all_max {
            return None;
        }
        if let Some(address) = address {
            let count = open.by_address.entry(address).or_default();
            if *count >= self.per_address_max {
                return None;
            }
            *count += 1;
        }
        open.all += 1;
        Some(Permit { open: self.open.clone(), address })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        open.all -= 1;
        let Some(address) = self.address else { return };
        if let Some(count) = open.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests;

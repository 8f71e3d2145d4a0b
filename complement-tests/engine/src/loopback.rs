//! Addresses and ports of this machine: a block 127.x.0.0/16 and some ports on 127.0.0.1 that no
//! other engine uses at the same time.

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
};

#[cfg(test)]
mod tests;

const BLOCKS: std::ops::Range<u8> = 16..80;
/// Who holds this port of a block's first address holds the block.
const LOCK_PORT: u16 = 8448;
/// Below the ports that systems give to outgoing connections.
const FIRST_PORT: u16 = 12_000;
const PORTS_PER_BLOCK: u16 = 300;

pub(crate) struct Loopback {
    block: u8,
    last: AtomicU16,
    _lock: UdpSocket,
}

impl Loopback {
    pub(crate) fn take() -> io::Result<Self> {
        let taken = BLOCKS.clone().find_map(|block| {
            let lock = UdpSocket::bind((Ipv4Addr::new(127, block, 0, 1), LOCK_PORT)).ok()?;
            Some(Self { block, last: AtomicU16::new(1), _lock: lock })
        });
        taken.ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "too many engines run"))
    }

    /// The next address of the block, which comes round after all others.
    pub(crate) fn address(&self) -> Ipv4Addr {
        let [high, low] = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1).to_be_bytes();
        Ipv4Addr::new(127, self.block, high, low)
    }

    /// A port on 127.0.0.1 that nobody listens at, and that is not in `taken`.
    pub(crate) fn port(&self, taken: &BTreeSet<u16>) -> io::Result<u16> {
        let first = FIRST_PORT + u16::from(self.block - BLOCKS.start) * PORTS_PER_BLOCK;
        let is_free = |port: &u16| {
            !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        };
        (first..first + PORTS_PER_BLOCK)
            .find(is_free)
            .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no port is free"))
    }
}

//! Free TCP ports that stay free while a server is down.

use std::net::{TcpListener, UdpSocket};

/// Below the range from which Linux takes the ports of outgoing connections, so that none of
/// those can sit on the port of a server that is being restarted.
const RANGE: std::ops::Range<u16> = 10_000..30_000;
const TRIES: usize = 1_000;

/// A port of this machine, leased to one test among all that run at once.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// The same number in UDP, which nobody here uses, is the sign that the port is taken.
    _lease: UdpSocket,
}

impl Port {
    /// Leases a free port.
    pub fn lease() -> Self {
        (0..TRIES)
            .find_map(|_| Self::try_lease(rand::random_range(RANGE)))
            .expect("there is a free port")
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn try_lease(number: u16) -> Option<Self> {
        let lease = UdpSocket::bind(("127.0.0.1", number)).ok()?;
        TcpListener::bind(("0.0.0.0", number)).ok()?;
        Some(Self { number, _lease: lease })
    }
}

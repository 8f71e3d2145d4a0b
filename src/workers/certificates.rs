//! Reads the certificates again when their files have changed.

use std::time::Duration;

use super::{Next, Worker};
use crate::http::tls::{Certificates, Stamps};

/// New certificates are in use after this time at the latest.
const INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct Reload {
    certificates: Certificates,
    /// Of the files that are in use.
    seen: Stamps,
}

impl Reload {
    pub(super) fn new(certificates: &Certificates) -> Self {
        Self { certificates: certificates.clone(), seen: certificates.stamps() }
    }
}

impl Worker for Reload {
    async fn step(&mut self) -> Next {
        let stamps = self.certificates.stamps();
        if stamps != self.seen {
            match self.certificates.reload() {
                Ok(()) => tracing::info!("new certificates are in use"),
                Err(error) => tracing::error!(%error, "the old certificates stay in use"),
            }
            self.seen = stamps;
        }
        Next::Wait(INTERVAL)
    }
}

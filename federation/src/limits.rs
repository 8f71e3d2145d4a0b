//! How much may be done at once for the sake of one server, so that one that is slow cannot use up
//! what is there for all.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Servers whose limits are remembered before those with nothing under way are swept out.
const SERVERS_BEFORE_SWEEP: usize = 256;

/// The same limit for each server.
pub(crate) struct Limits {
    at_once: usize,
    servers: Mutex<HashMap<OwnedServerName, Weak<Semaphore>>>,
}

impl Limits {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once, servers: Mutex::default() }
    }

    /// Waits until little enough is under way for the server.
    pub(crate) async fn permit(&self, server: &ServerName) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.of(server).acquire_owned().await.ok()
    }

    fn of(&self, server: &ServerName) -> Arc<Semaphore> {
        let mut servers = self.servers.lock();
        if servers.len() >= SERVERS_BEFORE_SWEEP {
            servers.retain(|_, limit| limit.strong_count() > 0);
        }
        if let Some(limit) = servers.get(server).and_then(Weak::upgrade) {
            return limit;
        }
        let limit = Arc::new(Semaphore::new(self.at_once));
        servers.insert(server.to_owned(), Arc::downgrade(&limit));
        limit
    }
}

//! The durable engine: one RocksDB for all homeservers of the process, one column family per table,
//! one thread that commits.

mod committer;
mod database;
mod folder;
mod log_tail;
mod options;
mod queue;
mod reader;
mod recovery;
mod schema;
mod shared;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, thread::JoinHandle};

use tokio::sync::{broadcast, oneshot};

pub use self::{
    options::RocksOptions,
    schema::{Migrating, Migration},
};
use self::{
    queue::{Job, Reply},
    shared::Shared,
};
use crate::{
    Batch, BatchId, CommitError, Engine, Health, HomeserverId, Outcome, PendingCommit,
    PendingEpoch, PendingErasure, Reader, StoreError, Table, Version, limits,
};

/// A RocksDB in one folder. Dropping it commits what is still queued and closes the database as
/// soon as the last snapshot is gone.
pub struct RocksEngine {
    shared: Arc<Shared>,
    committer: Option<JoinHandle<()>>,
}

impl RocksEngine {
    /// Opens the store in this folder, or creates it. Blocks: recovers what a crash left behind and
    /// runs the migrations that are not yet recorded in the store.
    pub fn open(
        path: impl AsRef<Path>,
        tables: &[Table],
        options: RocksOptions,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::open(path.as_ref(), tables, options)?);
        let committer = committer::spawn(shared.clone())?;
        Ok(Self { shared, committer: Some(committer) })
    }

    fn enqueue<T: Send + 'static>(
        &self,
        bytes: usize,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<T, CommitError>> + Send>> {
        let (reply, answer) = oneshot::channel();
        self.shared.enqueue(job(reply), bytes);
        // A committer that died took the reply with it: nobody knows how far it got.
        Box::pin(async move { answer.await.unwrap_or(Err(CommitError::Unknown)) })
    }
}

impl Engine for RocksEngine {
    fn snapshot(&self) -> Box<dyn Reader> {
        self.shared.snapshot()
    }

    fn snapshot_in_memory(&self) -> Option<Box<dyn Reader>> {
        self.shared.snapshot_in_memory()
    }

    fn submit(&self, homeserver: HomeserverId, batch: Batch) -> PendingCommit {
        match limits::check(&batch, &self.shared.tables) {
            Ok(bytes) => self.enqueue(bytes, |reply| Job::Commit { homeserver, batch, reply }),
            Err(refusal) => Box::pin(std::future::ready(Err(refusal))),
        }
    }

    fn outcome(&self, homeserver: HomeserverId, id: BatchId) -> Result<Outcome, StoreError> {
        self.shared.outcome(homeserver, id)
    }

    fn version(&self, homeserver: HomeserverId) -> Result<Version, StoreError> {
        self.shared.version(homeserver)
    }

    fn fence(&self, homeserver: HomeserverId) -> PendingEpoch {
        self.enqueue(0, |reply| Job::Fence { homeserver, reply })
    }

    fn subscribe(&self) -> broadcast::Receiver<(HomeserverId, Version)> {
        self.shared.hints.subscribe()
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn tables(&self) -> Vec<Table> {
        self.shared.tables.clone()
    }

    fn erase(&self, homeserver: HomeserverId) -> PendingErasure {
        self.enqueue(0, |reply| Job::Erase { homeserver, reply })
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.shared.database().map_err(StoreError::Read)?.compact_all()
    }

    fn raise_version(&self, homeserver: HomeserverId, least: Version) -> PendingCommit {
        self.enqueue(0, |reply| Job::Raise { homeserver, least, reply })
    }
}

impl Drop for RocksEngine {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the committer of the store had panicked");
        }
    }
}

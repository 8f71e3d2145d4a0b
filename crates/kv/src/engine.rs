//! What an engine is, and how it can fail.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use tokio::sync::broadcast;

use crate::{
    Batch, BatchId, Epoch, HomeserverId, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Table, Version,
    store::{after_key, after_prefix},
};

/// A physical database. Its methods are called with whole keys, the homeserver's prefix included.
pub trait Engine: Send + Sync + 'static {
    /// A consistent view of the newest committed state. May block on disk when it is read: only
    /// for threads on which that is allowed.
    fn snapshot(&self) -> Box<dyn Reader>;

    /// A view like [`snapshot`](Self::snapshot) whose reads never wait for a disk: what is not in
    /// memory ends in [`StoreError::NotInMemory`]. `None` if the engine cannot tell.
    fn snapshot_in_memory(&self) -> Option<Box<dyn Reader>> {
        None
    }

    /// Whether what takes long is done on threads of its own. A simulation, in which one seed must
    /// always give the same run, says no: then all of it happens where it is asked for.
    fn has_threads(&self) -> bool {
        true
    }

    /// Puts the batch (its keys already prefixed) into the queue of commits, in the order of the
    /// calls, and returns at once. The future resolves when the batch is durable or refused;
    /// dropping it takes nothing back.
    fn submit(&self, homeserver: HomeserverId, batch: Batch) -> PendingCommit;

    /// What became of a batch whose commit ended in [`CommitError::Unknown`]; remembered for a day.
    fn outcome(&self, homeserver: HomeserverId, id: BatchId) -> Result<Outcome, StoreError>;

    /// The newest version that readers see.
    fn version(&self, homeserver: HomeserverId) -> Result<Version, StoreError>;

    /// Starts a new epoch for the homeserver: commits of every older epoch are refused from now on.
    fn fence(&self, homeserver: HomeserverId) -> PendingEpoch;

    /// Hints that a homeserver has a new version. A hint may be lost, repeated or late.
    fn subscribe(&self) -> broadcast::Receiver<(HomeserverId, Version)>;

    fn health(&self) -> Health;

    /// Every table that the engine was opened with.
    fn tables(&self) -> Vec<Table>;

    /// Forgets everything of the homeserver: rows, version, epoch, outcomes. In the queue of
    /// commits like a batch.
    fn erase(&self, homeserver: HomeserverId) -> PendingErasure;

    /// Rewrites the files of all tables so that nothing deleted or overwritten is left in them.
    /// Blocks until it is done; reads and commits go on meanwhile.
    fn compact(&self) -> Result<(), StoreError>;

    /// Raises the homeserver's version to at least this one, without a commit: an import must not
    /// give out again a version that the imported rows already carry.
    fn raise_version(&self, homeserver: HomeserverId, least: Version) -> PendingCommit;

    /// Shows every row of the homeserver, table by table and in key order, on one snapshot. Keys
    /// are without the homeserver's prefix. May block on disk.
    fn export(&self, homeserver: HomeserverId, row: &mut ExportRow<'_>) -> Result<(), StoreError> {
        let reader = self.snapshot();
        let from = Bytes::copy_from_slice(&homeserver.0.to_be_bytes());
        let to = after_prefix(&from);
        for table in self.tables() {
            let mut next = from.clone();
            loop {
                let page = reader.scan(table, &next, &to, false, PAGE_ROWS_MAX)?;
                for (key, value) in &page.rows {
                    row(table, &key[from.len()..], value)?;
                }
                match page.rows.last() {
                    Some((last, _)) if page.more => next = after_key(last),
                    _ => break,
                }
            }
        }
        Ok(())
    }
}

/// Takes the rows of an [`Engine::export`]; its error ends the export.
pub type ExportRow<'a> = dyn FnMut(Table, &[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// Resolves when a submitted batch is durable or refused.
pub type PendingCommit = Pin<Box<dyn Future<Output = Result<Committed, CommitError>> + Send>>;
pub type PendingEpoch = Pin<Box<dyn Future<Output = Result<Epoch, CommitError>> + Send>>;
pub type PendingErasure = Pin<Box<dyn Future<Output = Result<(), CommitError>> + Send>>;

/// Reads on one snapshot. Synchronous: it may wait for a disk.
pub trait Reader: Send + Sync {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// The values in the order of the keys; one round trip.
    fn multi_get(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// One page of the rows with keys in `from..to`: at most `limit` rows (and at most
    /// [`PAGE_ROWS_MAX`](crate::PAGE_ROWS_MAX) and [`PAGE_BYTES_MAX`](crate::PAGE_BYTES_MAX)),
    /// from the low end, or from the high end when `reverse`. A page shorter than all limits is
    /// the last.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Page, StoreError>;
}

/// Rows of a scan, and whether there are more.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub rows: Vec<(Bytes, Bytes)>,
    pub more: bool,
}

impl Page {
    /// Takes rows until a limit is reached.
    pub(crate) fn fill(mut rows: impl Iterator<Item = (Bytes, Bytes)>, limit: usize) -> Self {
        let mut page = Self::default();
        let mut bytes = 0;
        for (key, value) in &mut rows {
            if page.rows.len() >= limit.min(PAGE_ROWS_MAX) || bytes >= PAGE_BYTES_MAX {
                page.more = true;
                break;
            }
            bytes += key.len() + value.len();
            page.rows.push((key, value));
        }
        page
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed(Version),
    /// It did not happen and never will.
    NotCommitted,
}

/// Whether an engine takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    ReadWrite,
    /// Writes are refused for this reason until the cause is gone; reads go on.
    ReadOnly {
        why: Arc<str>,
    },
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The precondition at this index did not hold; nothing was written.
    #[error("precondition {0} of the batch did not hold")]
    Precondition(usize),
    #[error("another writer holds epoch {now}")]
    Fenced { now: Epoch },
    #[error("the batch is over a limit: {0}")]
    TooLarge(&'static str),
    /// Nothing was written; the store takes no writes at present.
    #[error("the store takes no writes: {why}")]
    Unavailable { why: Arc<str> },
    /// The batch may or may not be durable: ask [`Engine::outcome`].
    #[error("it is unknown whether the batch was written")]
    Unknown,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store could not read: {0}")]
    Read(Arc<str>),
    #[error("the store holds a row that this version cannot understand: {0}")]
    Corrupt(Arc<str>),
    #[error("the store cannot be opened: {0}")]
    Open(Arc<str>),
    /// Only from [`Engine::snapshot_in_memory`].
    #[error("the row is not in memory")]
    NotInMemory,
    /// The batch is still in the queue, or the store has not yet recovered from the error in which
    /// it was written: ask again later.
    #[error("it is not decided yet what became of the batch")]
    Undecided,
}

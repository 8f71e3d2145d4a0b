//! Ordered tables, one atomic batch, durable before it is acknowledged.
//!
//! An [`Engine`] is one physical database that many homeservers share; a [`Store`] is one
//! homeserver's view of it: every key that goes through it starts with its [`HomeserverId`].
//! Nothing in here knows Matrix.
//!
//! What every engine keeps, and `conformance` checks:
//! - a commit is all or nothing, and is on disk before its future resolves to `Ok`;
//! - preconditions and the fencing epoch are evaluated in the same order as the writes;
//! - a homeserver's versions are dense (1, 2, 3, …), and a reader that sees version v sees
//!   everything up to v;
//! - [`CommitError::Unknown`] is a legal outcome, resolved by [`Engine::outcome`];
//! - the limits below, whatever the engine itself could hold.

mod batch;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod engine;
mod group;
mod key;
mod limits;
mod memory;
mod rocks;
mod store;
#[cfg(test)]
mod tests;

pub use crate::{
    batch::{Batch, BatchId, Op, Precondition},
    engine::{
        CommitError, Committed, Engine, ExportRow, Health, Outcome, Page, PendingCommit,
        PendingEpoch, PendingErasure, Reader, StoreError,
    },
    group::Change,
    key::{KeyReader, KeyWriter},
    memory::{Failure, MemoryEngine},
    rocks::{Migrating, Migration, RocksEngine, RocksOptions},
    store::{Commit, Snapshot, Store, after_prefix},
};

/// One homeserver of this database; the first four bytes (big-endian) of each of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HomeserverId(pub u32);

/// A homeserver's log position: the number of commits that it has seen.
pub type Version = u64;

/// Only the holder of the newest epoch may commit; an older one is fenced off.
pub type Epoch = u64;

/// One named, ordered key space (a column family in RocksDB), shared by all homeservers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// Never changes once released: it is the column family's name on disk.
    pub name: &'static str,
    pub profile: Profile,
}

/// How a table is used, so that an engine can lay it out well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Point reads by unrelated keys: bloom filters, small blocks.
    Random,
    /// Written in key order and scanned: large compressed blocks.
    Ordered,
    /// Rows may vanish once they are older than this many seconds.
    Expiring { ttl_s: u64 },
}

/// Bytes of a key, the homeserver's four included.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 90_000;
/// Bytes of all keys and values of a batch.
pub const BATCH_BYTES_MAX: usize = 8_000_000;
/// Rows of a scanned page.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Bytes of a scanned page; the row that crosses it is still in the page.
pub const PAGE_BYTES_MAX: usize = 1_000_000;

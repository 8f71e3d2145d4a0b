//! Reads on one snapshot of the database.

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{ReadOptions, ReadTier, SnapshotWithThreadMode};

use super::database::{Database, Db, present, read_error, unstamped};
use crate::{Page, Reader, StoreError, Table};

/// A snapshot that keeps its database open. The order of the fields is the order in which they are
/// dropped: what borrows from the database goes before it.
pub(super) struct RocksReader {
    options: ReadOptions,
    tier: ReadTier,
    snapshot: SnapshotWithThreadMode<'static, Db>,
    database: Arc<Database>,
}

impl RocksReader {
    pub fn new(database: Arc<Database>, tier: ReadTier) -> Self {
        let snapshot = extend(&database);
        Self { options: options(&snapshot, tier), tier, snapshot, database }
    }
}

fn options(snapshot: &SnapshotWithThreadMode<'_, Db>, tier: ReadTier) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_snapshot(snapshot);
    if tier == ReadTier::BlockCache {
        options.set_read_tier(tier);
        options.set_max_skippable_internal_keys(SKIPPED_IN_MEMORY_MAX);
    }
    options
}

/// Deleted rows that one step of a short read may pass over.
const SKIPPED_IN_MEMORY_MAX: u64 = 256;

/// A snapshot whose borrow of the database the compiler does not follow any more.
#[allow(unsafe_code, reason = "a struct cannot borrow from its own field in safe Rust")]
fn extend(database: &Arc<Database>) -> SnapshotWithThreadMode<'static, Db> {
    let db: *const Db = database.db();
    // SAFETY: `db` lies inside the allocation of the `Arc`, which does not move. The only caller
    // stores the snapshot in a `RocksReader` beside a clone of that `Arc`, in a field that is
    // dropped before it, and hands out no copy of the reference.
    unsafe { SnapshotWithThreadMode::new(&*db) }
}

impl Reader for RocksReader {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.database.get(table, key, &self.options)
    }

    fn multi_get(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let family = self.database.family(table)?;
        self.database
            .db()
            .batched_multi_get_cf_opt(family, keys, false, &self.options)
            .into_iter()
            .map(|found| present(table, found))
            .collect()
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let family = self.database.family(table)?;
        if from >= to {
            return Ok(Page::default());
        }
        let mut options = options(&self.snapshot, self.tier);
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let mut cursor = self.database.db().raw_iterator_cf_opt(family, options);
        if reverse {
            cursor.seek_to_last();
        } else {
            cursor.seek_to_first();
        }
        let mut damage = None;
        let mut started = false;
        let page = Page::fill(
            std::iter::from_fn(|| {
                if started {
                    if reverse { cursor.prev() } else { cursor.next() }
                }
                started = true;
                let (key, value) = cursor.item()?;
                match unstamped(table, value) {
                    Ok(value) => Some((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))),
                    Err(error) => {
                        damage = Some(error);
                        None
                    }
                }
            }),
            limit,
        );
        cursor.status().map_err(|error| read_error(&error))?;
        damage.map_or(Ok(page), Err)
    }
}

/// What a snapshot is when the database could not be opened again.
pub(super) struct ClosedReader {
    pub why: Arc<str>,
}

impl ClosedReader {
    fn refuse<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::Read(self.why.clone()))
    }
}

impl Reader for ClosedReader {
    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.refuse()
    }

    fn multi_get(&self, _: Table, _: &[Bytes]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.refuse()
    }

    fn scan(&self, _: Table, _: &[u8], _: &[u8], _: bool, _: usize) -> Result<Page, StoreError> {
        self.refuse()
    }
}

//! An open RocksDB: its families by table, rows as the tables show them.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use rocksdb::{
    BottommostLevelCompaction, ColumnFamily, ColumnFamilyDescriptor, CompactOptions,
    DBPinnableSlice, DBWithThreadMode, ErrorKind, FlushOptions, ReadOptions, SingleThreaded,
    WriteBatch, WriteOptions,
};

use super::{
    folder::Folder,
    log_tail,
    options::{Layout, RocksOptions, STAMP_BYTES},
};
use crate::{
    HomeserverId, Profile, StoreError, Table,
    group::{Change, Position, Rows},
};

pub(super) type Db = DBWithThreadMode<SingleThreaded>;

/// Format, schema version: what must be understood before anything else is read.
pub(super) const META: Table = Table { name: "kv.meta", profile: Profile::Random };
/// Where each homeserver stands.
pub(super) const POSITIONS: Table = Table { name: "kv.homeservers", profile: Profile::Random };
/// The version that each batch of the last day got.
pub(super) const OUTCOMES: Table =
    Table { name: "kv.outcomes", profile: Profile::Expiring { ttl_s: 86_400 } };

/// The families of the engine itself.
pub(super) const OWN: [Table; 3] = [META, POSITIONS, OUTCOMES];

pub(super) struct Database {
    db: Db,
    tables: Vec<Table>,
    /// After `db`: the lock on the folder is let go of when the database is closed.
    _folder: Arc<Folder>,
}

/// Whether a database is opened for writing, or only to be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
}

impl Database {
    pub fn open(
        folder: Arc<Folder>,
        tables: &[Table],
        options: &RocksOptions,
        access: Access,
    ) -> Result<Self, StoreError> {
        let layout = Layout::new(options);
        let tables: Vec<Table> = OWN.iter().chain(tables).copied().collect();
        if folder.holds_database()? {
            refuse_unknown_families(&folder, &layout, &tables)?;
            if access == Access::ReadWrite {
                log_tail::mend(folder.path())?;
            }
        }
        let family = |table: &Table| {
            let options = layout.family(table.profile)?;
            Ok(ColumnFamilyDescriptor::new(table.name, options))
        };
        let families: Vec<ColumnFamilyDescriptor> =
            tables.iter().map(family).collect::<Result<_, rocksdb::Error>>().map_err(unopened)?;
        let options = layout.database().map_err(unopened)?;
        let db = match access {
            Access::ReadWrite => Db::open_cf_descriptors(&options, folder.path(), families),
            Access::ReadOnly => {
                Db::open_cf_descriptors_read_only(&options, folder.path(), families, false)
            }
        }
        .map_err(unopened)?;
        Ok(Self { db, tables, _folder: folder })
    }

    pub fn db(&self) -> &Db {
        &self.db
    }

    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    pub fn family(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        self.db
            .cf_handle(table.name)
            .ok_or_else(|| StoreError::Read(format!("there is no table {}", table.name).into()))
    }

    pub fn get(
        &self,
        table: Table,
        key: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<Bytes>, StoreError> {
        present(table, self.db.get_pinned_cf_opt(self.family(table)?, key, options))
    }

    pub fn position(&self, homeserver: HomeserverId) -> Result<Position, StoreError> {
        let Some(row) = self.row(POSITIONS, &homeserver.0.to_be_bytes())? else {
            return Ok(Position::default());
        };
        let numbers = row.split_first_chunk::<8>().and_then(|(version, rest)| {
            Some((u64::from_be_bytes(*version), u64::from_be_bytes(*rest.first_chunk::<8>()?)))
        });
        let (version, epoch) =
            numbers.ok_or_else(|| StoreError::Corrupt("the position of a homeserver".into()))?;
        Ok(Position { version, epoch })
    }

    /// The first keys in `from..to`, at most `limit`.
    pub fn keys(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let mut cursor = self.db.raw_iterator_cf_opt(self.family(table)?, options);
        cursor.seek_to_first();
        let mut keys = Vec::new();
        while keys.len() < limit
            && let Some(key) = cursor.key()
        {
            keys.push(Bytes::copy_from_slice(key));
            cursor.next();
        }
        cursor.status().map_err(|error| StoreError::Read(error.to_string().into()))?;
        Ok(keys)
    }

    /// Lets compaction see the ranges that were just deleted, which it then does first. (To drop
    /// the files at once would take rows from under the snapshots that still show them.)
    pub fn reclaim(&self) {
        let mut options = FlushOptions::default();
        options.set_wait(false);
        let families: Vec<&ColumnFamily> =
            self.tables.iter().filter_map(|table| self.db.cf_handle(table.name)).collect();
        if let Err(error) = self.db.flush_cfs_opt(&families, &options) {
            tracing::warn!(%error, "the space of deleted rows is given back later");
        }
    }

    pub fn compact_all(&self) -> Result<(), StoreError> {
        let failed = |error: rocksdb::Error| StoreError::Read(error.to_string().into());
        let families: Vec<&ColumnFamily> =
            self.tables.iter().filter_map(|table| self.db.cf_handle(table.name)).collect();
        // All at once, so that the log that they were in can go.
        self.db.flush_cfs_opt(&families, &FlushOptions::default()).map_err(failed)?;
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        for family in families {
            self.db.compact_range_cf_opt(family, None::<&[u8]>, None::<&[u8]>, &options);
        }
        Ok(())
    }

    #[cfg(test)]
    pub fn flush(&self, table: Table) -> Result<(), StoreError> {
        let flushed = self.db.flush_cf(self.family(table)?);
        flushed.map_err(|error| StoreError::Read(error.to_string().into()))
    }

    /// All of it durable, or an error; after an error nobody knows.
    pub fn write(&self, batch: WriteBatch) -> Result<(), rocksdb::Error> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options)
    }
}

impl Rows for Database {
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.get(table, key, &ReadOptions::default())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Closing waits for background work; this lets it stop early.
        self.db.cancel_all_background_work(true);
    }
}

fn unopened(error: rocksdb::Error) -> StoreError {
    StoreError::Open(error.to_string().into())
}

/// A family that this program does not know was written by a newer one.
fn refuse_unknown_families(
    folder: &Folder,
    layout: &Layout,
    tables: &[Table],
) -> Result<(), StoreError> {
    let options = layout.database().map_err(unopened)?;
    let found = Db::list_cf(&options, folder.path()).map_err(unopened)?;
    let known = |name: &String| {
        name == rocksdb::DEFAULT_COLUMN_FAMILY_NAME || tables.iter().any(|table| table.name == name)
    };
    match found.iter().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(StoreError::Open(
            format!("it has a table {name}, which this version does not know").into(),
        )),
    }
}

/// The value of a row as the table shows it: without the timestamp of an expiring one.
pub(super) fn present(
    table: Table,
    found: Result<Option<DBPinnableSlice<'_>>, rocksdb::Error>,
) -> Result<Option<Bytes>, StoreError> {
    match found {
        Ok(None) => Ok(None),
        Ok(Some(value)) => Ok(Some(Bytes::copy_from_slice(unstamped(table, &value)?))),
        Err(error) => Err(read_error(&error)),
    }
}

pub(super) fn read_error(error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        // What a read that may not wait for the disk ends in.
        ErrorKind::Incomplete => StoreError::NotInMemory,
        _ => StoreError::Read(error.to_string().into()),
    }
}

pub(super) fn unstamped(table: Table, value: &[u8]) -> Result<&[u8], StoreError> {
    match table.profile {
        Profile::Expiring { .. } => value.get(STAMP_BYTES..).ok_or_else(|| {
            StoreError::Corrupt(format!("a row of {} without a time", table.name).into())
        }),
        Profile::Random | Profile::Ordered => Ok(value),
    }
}

/// Collects one write to the database.
pub(super) struct Writer<'d> {
    database: &'d Database,
    now_s: u64,
    stamped: BytesMut,
    pub batch: WriteBatch,
}

impl<'d> Writer<'d> {
    pub fn new(database: &'d Database, now_s: u64) -> Self {
        Self { database, now_s, stamped: BytesMut::new(), batch: WriteBatch::default() }
    }

    pub fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Put(table, key, value) => self.put(*table, key, value)?,
            Change::Delete(table, key) => {
                self.batch.delete_cf(self.database.family(*table)?, key);
            }
            Change::DeleteRange(table, from, to) if from < to => {
                self.batch.delete_range_cf(self.database.family(*table)?, from, to);
            }
            Change::DeleteRange(..) => {}
        }
        Ok(())
    }

    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let family = self.database.family(table)?;
        match table.profile {
            Profile::Expiring { .. } => {
                self.stamped.clear();
                self.stamped.put_u64(self.now_s);
                self.stamped.put_slice(value);
                self.batch.put_cf(family, key, &self.stamped);
            }
            Profile::Random | Profile::Ordered => self.batch.put_cf(family, key, value),
        }
        Ok(())
    }

    pub fn put_position(
        &mut self,
        homeserver: HomeserverId,
        position: Position,
    ) -> Result<(), StoreError> {
        let mut row = [0; 16];
        row[..8].copy_from_slice(&position.version.to_be_bytes());
        row[8..].copy_from_slice(&position.epoch.to_be_bytes());
        self.put(POSITIONS, &homeserver.0.to_be_bytes(), &row)
    }
}

/// The key of a batch's outcome.
pub(super) fn outcome_key(homeserver: HomeserverId, id: crate::BatchId) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&homeserver.0.to_be_bytes());
    key[4..].copy_from_slice(&id.0.to_be_bytes());
    key
}

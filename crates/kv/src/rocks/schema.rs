//! The format of the store, and the migrations that it has been through.

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DEFAULT_COLUMN_FAMILY_NAME, ReadTier};

use super::{
    database::{Database, META, POSITIONS, Writer},
    options::RocksOptions,
    reader::RocksReader,
};
use crate::{Change, Page, Profile, Reader, StoreError, Table, group::Rows, store::after_prefix};

const FORMAT_KEY: &[u8] = b"format";
/// How the engine itself lays out keys, timestamps and its own families.
const FORMAT: &[u8] = b"kontor kv 1";
const MIGRATION_PREFIX: &[u8] = b"migration/";
/// Rows of expiring tables carry a time: a table that began as one kind cannot be read as the other.
const TABLE_PREFIX: &[u8] = b"table/";

/// A change of the rows of a store, made once, before anything else sees it.
#[derive(Clone)]
pub struct Migration {
    /// Says what it does, and never changes: the store records it.
    pub name: &'static str,
    /// Must be idempotent: after a crash half-way it runs again from its start.
    pub run: fn(&Migrating<'_>) -> Result<(), StoreError>,
}

/// The whole store, for a migration. Keys start with the homeserver's four bytes.
pub struct Migrating<'d> {
    database: &'d Arc<Database>,
    now_s: u64,
}

impl Migrating<'_> {
    pub fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Page, StoreError> {
        let reader = RocksReader::new(self.database.clone(), ReadTier::All);
        reader.scan(table, from, to, false, limit)
    }

    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.database.row(table, key)
    }

    /// Makes the changes durable together. No homeserver's version moves.
    pub fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut writer = Writer::new(self.database, self.now_s);
        for change in changes {
            writer.apply(change)?;
        }
        self.database
            .write(writer.batch)
            .map_err(|error| StoreError::Open(error.to_string().into()))
    }
}

/// Refuses tables that cannot be told apart, from each other or from the engine's own.
pub(super) fn check_names(tables: &[Table]) -> Result<(), StoreError> {
    for (index, table) in tables.iter().enumerate() {
        let reserved = table.name.starts_with("kv.") || table.name == DEFAULT_COLUMN_FAMILY_NAME;
        if reserved || tables[..index].iter().any(|other| other.name == table.name) {
            return refuse(format!("the name of table {} is taken", table.name));
        }
    }
    Ok(())
}

/// Refuses a store that this program does not understand; brings the others up to date.
pub(super) fn check(database: &Arc<Database>, options: &RocksOptions) -> Result<(), StoreError> {
    let migrating = Migrating { database, now_s: (options.clock)() };
    match database.row(META, FORMAT_KEY)? {
        None => begin(&migrating, options)?,
        Some(format) if format == FORMAT => {}
        Some(format) => {
            let format = String::from_utf8_lossy(&format);
            return refuse(format!("its format is {format:?}, which this version does not know"));
        }
    }
    check_kinds(&migrating)?;
    let done = done(&migrating)?;
    let unknown =
        done.iter().find(|name| !options.migrations.iter().any(|known| known.name == *name));
    if let Some(name) = unknown {
        return refuse(format!("it went through migration {name:?}, unknown to this version"));
    }
    for migration in &options.migrations {
        if done.iter().any(|name| name == migration.name) {
            continue;
        }
        tracing::info!(migration = migration.name, "migrating the store");
        (migration.run)(&migrating)?;
        migrating.write(&[migration.record(migrating.now_s)])?;
    }
    Ok(())
}

/// Records the kind of each new table; refuses a table that has changed its kind.
fn check_kinds(migrating: &Migrating<'_>) -> Result<(), StoreError> {
    let mut records = Vec::new();
    for table in migrating.database.tables() {
        let kind = match table.profile {
            Profile::Random | Profile::Ordered => "plain",
            Profile::Expiring { .. } => "expiring",
        };
        let key = Bytes::from([TABLE_PREFIX, table.name.as_bytes()].concat());
        match migrating.get(META, &key)? {
            None => records.push(Change::Put(META, key, Bytes::from_static(kind.as_bytes()))),
            Some(recorded) if recorded == kind => {}
            Some(_) => return refuse(format!("table {} was not {kind} before", table.name)),
        }
    }
    if records.is_empty() { Ok(()) } else { migrating.write(&records) }
}

/// Marks a new store. It is written in the newest way, so every migration counts as made.
fn begin(migrating: &Migrating<'_>, options: &RocksOptions) -> Result<(), StoreError> {
    let (from, to) = ([], after_prefix(&[]));
    if !migrating.scan(POSITIONS, &from, &to, 1)?.rows.is_empty() {
        return refuse("it holds rows, but not their format".to_owned());
    }
    let records = options.migrations.iter().map(|migration| migration.record(migrating.now_s));
    let format = Change::Put(META, Bytes::from_static(FORMAT_KEY), Bytes::from_static(FORMAT));
    migrating.write(&records.chain([format]).collect::<Vec<_>>())
}

/// The names of the migrations that the store has been through.
fn done(migrating: &Migrating<'_>) -> Result<Vec<String>, StoreError> {
    let to = after_prefix(MIGRATION_PREFIX);
    let page = migrating.scan(META, MIGRATION_PREFIX, &to, usize::MAX)?;
    let name = |key: &Bytes| String::from_utf8_lossy(&key[MIGRATION_PREFIX.len()..]).into_owned();
    Ok(page.rows.iter().map(|(key, _)| name(key)).collect())
}

fn refuse(why: String) -> Result<(), StoreError> {
    Err(StoreError::Open(why.into()))
}

impl Migration {
    /// Its name, and when it was made.
    fn record(&self, now_s: u64) -> Change {
        let key = [MIGRATION_PREFIX, self.name.as_bytes()].concat();
        Change::Put(META, key.into(), Bytes::copy_from_slice(&now_s.to_be_bytes()))
    }
}

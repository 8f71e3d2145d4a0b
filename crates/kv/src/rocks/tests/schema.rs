//! Formats, tables and migrations: what is not understood is refused.

use std::sync::Arc;

use super::{ACME, commit, key, nth, open, options, refusal};
use crate::{
    Change, Engine, Migrating, Migration, Profile, RocksEngine, RocksOptions, Store, StoreError,
    Table,
    conformance::{LOOSE, TABLES},
    rocks::database::META,
};

fn with(migrations: &[Migration]) -> RocksOptions {
    RocksOptions { migrations: migrations.to_vec(), ..options() }
}

const MARK: Migration = Migration { name: "mark every homeserver", run: mark };
const FAIL: Migration = Migration { name: "fail", run: |_| Err(StoreError::Read("no".into())) };

/// Appends to a row of one homeserver: twice would be seen.
fn mark(store: &Migrating<'_>) -> Result<(), StoreError> {
    let row = [&ACME.0.to_be_bytes(), b"mark".as_slice()].concat();
    let before = store.get(LOOSE, &row)?.unwrap_or_default();
    store.write(&[Change::Put(LOOSE, row.into(), [&before, b"!".as_slice()].concat().into())])
}

fn marks(engine: RocksEngine) -> Option<String> {
    let snapshot = Store::new(Arc::new(engine), ACME).snapshot();
    let row = snapshot.get(LOOSE, b"mark").expect("a read")?;
    Some(String::from_utf8(row.to_vec()).expect("text"))
}

#[test]
fn a_migration_runs_once_on_an_old_store() {
    let folder = tempfile::tempdir().expect("a folder");
    commit(&open(folder.path()), nth(1)).expect("a commit");
    for _ in 0..3 {
        let engine = RocksEngine::open(folder.path(), &TABLES, with(&[MARK])).expect("a store");
        assert_eq!(marks(engine).as_deref(), Some("!"));
    }
}

#[test]
fn a_new_store_needs_no_migration() {
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..2 {
        let engine = RocksEngine::open(folder.path(), &TABLES, with(&[MARK])).expect("a store");
        assert_eq!(marks(engine), None);
    }
}

#[test]
fn a_migration_that_fails_runs_again() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    for _ in 0..2 {
        assert!(refusal(folder.path(), with(&[MARK, FAIL])).contains("no"));
    }
    let engine = RocksEngine::open(folder.path(), &TABLES, with(&[MARK])).expect("a store");
    assert_eq!(marks(engine).as_deref(), Some("!"));
}

#[test]
fn a_store_with_an_unknown_migration_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(RocksEngine::open(folder.path(), &TABLES, with(&[MARK])).expect("a store"));
    let why = refusal(folder.path(), options());
    assert!(why.contains(MARK.name), "{why}");
}

#[test]
fn a_store_of_another_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    const RENEW: Migration = Migration {
        name: "renew the format",
        run: |store| store.write(&[Change::Put(META, "format".into(), "kontor kv 2".into())]),
    };
    drop(RocksEngine::open(folder.path(), &TABLES, with(&[RENEW])).expect("a store"));
    let why = refusal(folder.path(), with(&[RENEW]));
    assert!(why.contains("kontor kv 2"), "{why}");
}

#[test]
fn a_store_with_an_unknown_table_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    let opened = RocksEngine::open(folder.path(), &TABLES[..2], options());
    let why = opened.err().expect("a refusal").to_string();
    assert!(why.contains("tickets"), "{why}");
}

#[test]
fn a_table_can_be_added() {
    let folder = tempfile::tempdir().expect("a folder");
    commit(&open(folder.path()), nth(1)).expect("a commit");
    let added = Table { name: "added", profile: Profile::Ordered };
    let tables = [&TABLES[..], &[added]].concat();
    let engine = RocksEngine::open(folder.path(), &tables, options()).expect("a store");
    let mut batch = nth(2);
    batch.put(added, "k", "v");
    commit(&engine, batch).expect("a commit");
    let snapshot = Store::new(Arc::new(engine), ACME).snapshot();
    assert!(snapshot.get(added, b"k").expect("a read").is_some());
    assert!(snapshot.get(LOOSE, &key(1)).expect("a read").is_some());
}

#[test]
fn the_tables_of_the_engine_are_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(open(folder.path()).tables(), TABLES);
}

#[test]
fn a_table_that_became_expiring_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    let mut tables = TABLES;
    tables[0].profile = Profile::Expiring { ttl_s: 60 };
    let opened = RocksEngine::open(folder.path(), &tables, options());
    let why = opened.err().expect("a refusal").to_string();
    assert!(why.contains("loose"), "{why}");
    tables[0].profile = Profile::Ordered;
    assert!(RocksEngine::open(folder.path(), &tables, options()).is_ok());
}

#[test]
fn two_tables_cannot_have_one_name_nor_one_of_the_engine() {
    let folder = tempfile::tempdir().expect("a folder");
    let twice = [TABLES[0], TABLES[1], TABLES[0]];
    assert!(RocksEngine::open(folder.path(), &twice, options()).is_err());
    for name in ["kv.meta", "default"] {
        let taken = [Table { name, profile: Profile::Random }];
        assert!(RocksEngine::open(folder.path(), &taken, options()).is_err());
    }
}

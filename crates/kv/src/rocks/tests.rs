//! The RocksDB engine: the suite, and what only an engine with a disk can go through.

mod background;
mod damage;
mod disk_full;
mod in_place;
mod opening;
mod queueing;
mod schema;

use std::{path::Path, sync::Arc};

use bytes::Bytes;

use super::{RocksEngine, RocksOptions};
use crate::{
    Batch, BatchId, CommitError, Committed, Engine, HomeserverId, Store,
    conformance::{self, LOG, LOOSE, TABLES},
};

const ACME: HomeserverId = HomeserverId(7);

#[test]
fn the_rocksdb_engine_passes_every_case() {
    let folder = tempfile::tempdir().expect("a folder");
    let failed = conformance::examine(Arc::new(open(folder.path())));
    assert!(failed.is_empty(), "{failed:#?}");
}

fn options() -> RocksOptions {
    RocksOptions::new(Arc::new(|| 1_800_000_000))
}

fn open(folder: &Path) -> RocksEngine {
    RocksEngine::open(folder, &TABLES, options()).expect("a store")
}

fn refusal(folder: &Path, options: RocksOptions) -> String {
    match RocksEngine::open(folder, &TABLES, options) {
        Ok(_) => panic!("the store should be refused"),
        Err(error) => error.to_string(),
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// The n-th batch of a test: one row in two tables each.
fn nth(n: u64) -> Batch {
    let mut batch = Batch::new(BatchId(n.into()));
    batch.put(LOOSE, key(n), vec![b'x'; 100]);
    batch.put_at_version(LOG, "log", "", key(n));
    batch
}

fn key(n: u64) -> Bytes {
    format!("row {n:06}").into()
}

fn commit(engine: &RocksEngine, batch: Batch) -> Result<Committed, CommitError> {
    wait(engine.submit(ACME, prefixed(batch)))
}

/// As a [`Store`] would.
fn prefixed(mut batch: Batch) -> Batch {
    crate::store::prefix(ACME, &mut batch);
    batch
}

/// The first `count` batches are there, nothing else is, and they had the versions 1 to `count`.
fn assert_holds(engine: &Arc<RocksEngine>, count: u64) {
    let store = Store::new(engine.clone(), ACME);
    let snapshot = store.snapshot();
    assert_eq!(store.version().expect("a version"), count);
    let mut rows = Vec::new();
    let scanned = snapshot.scan_prefix(LOOSE, b"", |key, _| {
        rows.push(Bytes::copy_from_slice(key));
        Ok(())
    });
    scanned.expect("a scan");
    assert_eq!(rows, (1..=count).map(key).collect::<Vec<_>>());
    let mut log = Vec::new();
    let scanned = snapshot.scan_prefix(LOG, b"log", |key, value| {
        log.push((u64::from_be_bytes(key[3..].try_into().expect("a version")), value));
        Ok(())
    });
    scanned.expect("a scan");
    assert_eq!(log, (1..=count).map(|n| (n, key(n))).collect::<Vec<_>>());
}

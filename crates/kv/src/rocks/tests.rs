//! The RocksDB engine: the conformance suite, reopening, damage, full disks.

use std::sync::Arc;

use super::{RocksEngine, RocksOptions};
use crate::conformance::{self, TABLES};

fn options() -> RocksOptions {
    RocksOptions::new(Arc::new(|| 1_800_000_000))
}

#[test]
fn the_rocksdb_engine_passes_every_case() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = RocksEngine::open(folder.path(), &TABLES, options()).expect("a store");
    let failed = conformance::examine(Arc::new(engine));
    assert!(failed.is_empty(), "{failed:#?}");
}

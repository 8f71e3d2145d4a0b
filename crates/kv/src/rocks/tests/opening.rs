//! Opening and closing.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{ACME, assert_holds, commit, key, nth, open, options, refusal, wait};
use crate::{
    BatchId, Engine, Outcome, RocksEngine, Store,
    conformance::{LOOSE, TABLES, TICKETS},
};

#[test]
fn what_was_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    for n in 1..=20 {
        commit(&engine, nth(n)).expect("a commit");
    }
    let epoch = wait(engine.fence(ACME)).expect("an epoch");
    drop(engine);

    let engine = Arc::new(open(folder.path()));
    assert_holds(&engine, 20);
    assert_eq!(engine.outcome(ACME, BatchId(13)).expect("an outcome"), Outcome::Committed(13));
    assert_eq!(engine.outcome(ACME, BatchId(99)).expect("an outcome"), Outcome::NotCommitted);
    assert_eq!(wait(engine.fence(ACME)).expect("an epoch"), epoch + 1);
    assert_eq!(commit(&engine, nth(21)).expect("a commit").version, 21);
    assert_holds(&engine, 21);
}

#[test]
fn a_second_engine_on_the_folder_is_refused_and_told_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    let why = refusal(folder.path(), options());
    assert!(why.contains("is in use by another process"), "{why}");
    drop(engine);
    open(folder.path());
}

#[test]
fn a_snapshot_outlives_its_engine_and_holds_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Arc::new(open(folder.path()));
    commit(&engine, nth(1)).expect("a commit");
    let snapshot = Store::new(engine.clone(), ACME).snapshot();
    drop(engine);
    assert!(snapshot.get(LOOSE, &key(1)).expect("a read").is_some());
    assert!(refusal(folder.path(), options()).contains("in use"));
    drop(snapshot);
    open(folder.path());
}

#[test]
fn a_folder_is_created_with_its_parents() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a/b/store");
    commit(&open(&path), nth(1)).expect("a commit");
    assert_holds(&Arc::new(open(&path)), 1);
}

#[test]
fn a_file_in_place_of_the_folder_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    fs::write(&path, "not a folder").expect("a file");
    assert!(refusal(&path, options()).contains("cannot be opened"));
}

#[test]
fn a_store_that_lost_its_root_file_is_not_begun_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    commit(&open(folder.path()), nth(1)).expect("a commit");
    fs::remove_file(folder.path().join("CURRENT")).expect("a file");
    let why = refusal(folder.path(), options());
    assert!(why.contains("CURRENT"), "{why}");
}

#[test]
fn expired_rows_vanish_and_others_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(AtomicU64::new(1_000));
    let mut options = options();
    options.clock = {
        let clock = clock.clone();
        Arc::new(move || clock.load(Ordering::Relaxed))
    };
    let engine = RocksEngine::open(folder.path(), &TABLES, options).expect("a store");
    let put = |key: &'static str, id| {
        let mut batch = crate::Batch::new(BatchId(id));
        batch.put(TICKETS, key, "ticket");
        batch.put(LOOSE, key, "loose one");
        commit(&engine, batch).expect("a commit");
    };
    put("old", 1);
    clock.store(1_000_000_500, Ordering::Relaxed);
    put("new", 2);
    clock.store(1_000_001_001, Ordering::Relaxed);
    engine.shared.database().expect("open").compact_all().unwrap();

    let engine = Arc::new(engine);
    let snapshot = Store::new(engine.clone(), ACME).snapshot();
    assert_eq!(snapshot.get(TICKETS, b"old").expect("a read"), None);
    assert!(snapshot.get(TICKETS, b"new").expect("a read").is_some());
    assert!(snapshot.get(LOOSE, b"old").expect("a read").is_some());
    assert_eq!(engine.outcome(ACME, BatchId(1)).expect("an outcome"), Outcome::NotCommitted);
    assert_eq!(engine.outcome(ACME, BatchId(2)).expect("an outcome"), Outcome::Committed(2));
}

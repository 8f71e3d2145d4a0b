//! The memory engine: the conformance suite and its hooks.

use std::sync::Arc;

use super::{Failure, MemoryEngine};
use crate::{
    Batch, BatchId, CommitError, Health, HomeserverId, Outcome, Store, StoreError,
    conformance::{self, LOOSE, TABLES},
};

#[test]
fn the_memory_engine_passes_every_case() {
    let failed = conformance::examine(Arc::new(MemoryEngine::new(&TABLES)));
    assert!(failed.is_empty(), "{failed:#?}");
}

fn world() -> (MemoryEngine, Store) {
    let engine = MemoryEngine::new(&TABLES);
    let store = Store::new(Arc::new(engine.clone()), HomeserverId(1));
    (engine, store)
}

fn nth(n: u128) -> Batch {
    let mut batch = Batch::new(BatchId(n));
    batch.put(LOOSE, n.to_be_bytes().to_vec(), "v");
    batch
}

fn has(store: &Store, n: u128) -> bool {
    store.snapshot().get(LOOSE, &n.to_be_bytes()).expect("a read").is_some()
}

#[tokio::test]
async fn a_commit_is_visible_when_submit_returns() {
    let (_, store) = world();
    let commit = store.submit(nth(1));
    assert!(has(&store, 1));
    assert_eq!(commit.await.expect("a commit").version, 1);
}

#[tokio::test]
async fn a_held_commit_is_neither_visible_nor_decided() {
    let (engine, store) = world();
    engine.hold();
    let (first, second) = (store.submit(nth(1)), store.submit(nth(2)));
    assert!(!has(&store, 1));
    assert!(matches!(store.outcome(BatchId(1)), Err(StoreError::Undecided)));
    assert_eq!(engine.acknowledge(1), 1);
    assert!(has(&store, 1) && !has(&store, 2));
    assert_eq!(first.await.expect("a commit").version, 1);
    engine.release();
    assert_eq!(second.await.expect("a commit").version, 2);
    assert_eq!(store.commit(nth(3)).await.expect("a commit").version, 3);
}

#[tokio::test]
async fn a_power_cut_forgets_what_was_not_acknowledged_and_nothing_else() {
    let (engine, store) = world();
    engine.hold();
    let (first, second) = (store.submit(nth(1)), store.submit(nth(2)));
    engine.acknowledge(1);
    engine.power_cut();
    assert!(first.await.is_ok());
    assert!(matches!(second.await, Err(CommitError::Unknown)));
    assert!(has(&store, 1) && !has(&store, 2));
    assert_eq!(store.outcome(BatchId(2)).expect("an outcome"), Outcome::NotCommitted);
    engine.release();
    assert_eq!(store.commit(nth(2)).await.expect("a commit").version, 2);
}

#[tokio::test]
async fn failures_are_told_as_asked_for() {
    let (engine, store) = world();
    engine.fail_next(Failure::Unavailable);
    engine.fail_next(Failure::UnknownButWritten);
    engine.fail_next(Failure::UnknownAndLost);
    assert!(matches!(store.commit(nth(1)).await, Err(CommitError::Unavailable { .. })));
    assert!(matches!(store.commit(nth(2)).await, Err(CommitError::Unknown)));
    assert!(matches!(store.commit(nth(3)).await, Err(CommitError::Unknown)));
    assert_eq!(store.commit(nth(4)).await.expect("a commit").version, 2);
    let outcomes = [1, 2, 3, 4].map(|n| store.outcome(BatchId(n)).expect("an outcome"));
    let (never, at) = (Outcome::NotCommitted, Outcome::Committed);
    assert_eq!(outcomes, [never, at(1), never, at(2)]);
    assert_eq!([1, 2, 3, 4].map(|n| has(&store, n)), [false, true, false, true]);
}

#[tokio::test]
async fn a_store_that_takes_no_writes_says_why_and_is_read() {
    let (engine, store) = world();
    store.commit(nth(1)).await.expect("a commit");
    engine.set_health(Health::ReadOnly { why: "the disk is full".into() });
    let refused = store.commit(nth(2)).await;
    assert!(
        matches!(refused, Err(CommitError::Unavailable { why }) if &*why == "the disk is full")
    );
    assert!(has(&store, 1));
    engine.set_health(Health::ReadWrite);
    assert_eq!(store.commit(nth(2)).await.expect("a commit").version, 2);
}

#[tokio::test]
async fn the_past_of_a_row_is_forgotten_with_its_last_snapshot() {
    let (engine, store) = world();
    store.commit(nth(1)).await.expect("a commit");
    let snapshot = store.snapshot();
    for id in 2..50 {
        let mut batch = nth(1);
        batch.id = BatchId(id);
        store.commit(batch).await.expect("a commit");
    }
    let mut batch = Batch::new(BatchId(50));
    batch.delete(LOOSE, 1u128.to_be_bytes().to_vec());
    store.commit(batch).await.expect("a commit");
    assert!(engine.0.rows.lock().values() > 1);
    drop(snapshot);
    assert_eq!(engine.0.rows.lock().values(), 0);
}

//! Short reads of what is in memory run where they are called; everything else goes aside.

use std::thread::{self, ThreadId};

use super::*;
use crate::{Snapshot, StoreError};

/// A store whose rows lie in files of which nothing has been read yet.
fn cold(folder: &Path, rows: u64) -> Store {
    let engine = open(folder);
    for n in 1..=rows {
        commit(&engine, nth(n)).expect("a commit");
    }
    engine.compact().expect("all rows in files");
    drop(engine);
    Store::new(Arc::new(open(folder)), ACME)
}

/// The thread on which the question was answered in the end, and its answer.
fn read<T: Send + 'static>(
    store: &Store,
    question: impl FnOnce(&Snapshot) -> Result<T, StoreError> + Clone + Send + 'static,
) -> (ThreadId, T) {
    let reading =
        store.read(move |rows| Ok::<_, StoreError>((thread::current().id(), question(rows)?)));
    wait(reading).expect("an answer")
}

fn here() -> ThreadId {
    thread::current().id()
}

#[test]
fn a_row_is_read_aside_until_it_is_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = cold(folder.path(), 10);
    let row = |rows: &Snapshot| rows.get(LOOSE, &key(3));
    let (first, value) = read(&store, row);
    assert_ne!(first, here());
    let (second, same) = read(&store, row);
    assert_eq!(second, here());
    assert_eq!((value.as_ref(), same), (Some(&Bytes::from(vec![b'x'; 100])), value.clone()));
}

#[test]
fn a_scan_is_read_aside_until_it_is_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = cold(folder.path(), 10);
    let all = |rows: &Snapshot| Ok(rows.scan(LOOSE, b"row", b"rox", true, 100)?.rows.len());
    let (first, count) = read(&store, all);
    assert_ne!(first, here());
    assert_eq!((read(&store, all), count), ((here(), 10), 10));
}

#[test]
fn what_was_just_written_is_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    commit(&engine, nth(1)).expect("a commit");
    let store = Store::new(Arc::new(engine), ACME);
    let (thread, value) = read(&store, |rows| rows.get(LOOSE, &key(1)));
    assert_eq!((thread, value.is_some()), (here(), true));
}

#[test]
fn a_question_that_takes_no_notice_of_an_error_is_asked_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = cold(folder.path(), 10);
    let careless = |rows: &Snapshot| Ok(rows.get(LOOSE, &key(3)).ok().flatten().is_some());
    let (thread, found) = read(&store, careless);
    assert_ne!(thread, here());
    assert!(found);
}

#[test]
fn a_question_about_many_rows_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    commit(&engine, nth(1)).expect("a commit");
    let store = Store::new(Arc::new(engine), ACME);
    let much = |rows: &Snapshot| {
        (0..10_000)
            .try_fold(0, |found, _| Ok(found + usize::from(rows.get(LOOSE, &key(1))?.is_some())))
    };
    let (thread, found) = read(&store, much);
    assert_ne!(thread, here());
    assert_eq!(found, 10_000);
}

//! `kill -9`.

use std::{path::Path, sync::Arc};

use kv::{RocksEngine, RocksOptions, StoreError};

use crate::{LOG, ROWS, witness::Witness};

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    goes_through_kills(20);
}

pub(crate) fn goes_through_kills(rounds: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut witness = Witness::default();
    for round in 0..rounds {
        let writer = witness.start(folder.path(), round);
        witness.end(writer);
        witness.check(folder.path());
    }
}

#[test]
fn a_second_process_on_the_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut witness = Witness::default();
    let writer = witness.start(folder.path(), 0);
    refuses(folder.path());
    witness.end(writer);
    witness.check(folder.path());
}

fn refuses(folder: &Path) {
    let options = RocksOptions::new(Arc::new(|| 1_800_000_000));
    match RocksEngine::open(folder, &[ROWS, LOG], options) {
        Err(StoreError::Open(why)) => assert!(why.contains("in use by another process"), "{why}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("two processes have one store"),
    }
}

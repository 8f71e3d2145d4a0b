//! Files as a crash or a bad disk leaves them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ACME, assert_holds, commit, key, nth, open, options, refusal};
use crate::{
    Engine, Store,
    conformance::{LOG, LOOSE},
};

/// The newest file with this extension that is not empty.
fn newest(folder: &Path, extension: &str) -> PathBuf {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    files
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .filter(|path| fs::metadata(path).expect("a file").len() > 0)
        .max()
        .expect("such a file")
}

fn filled(count: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    for n in 1..=count {
        commit(&engine, nth(n)).expect("a commit");
    }
    folder
}

#[test]
fn a_torn_tail_of_the_log_costs_only_the_commit_in_it() {
    for torn in [1, 7, 60, 150] {
        let folder = filled(10);
        let log = newest(folder.path(), "log");
        let length = fs::metadata(&log).expect("a file").len();
        let file = fs::File::options().write(true).open(&log).expect("a file");
        file.set_len(length - torn).expect("a shorter file");

        let engine = Arc::new(open(folder.path()));
        assert_holds(&engine, 9);
        assert_eq!(commit(&engine, nth(10)).expect("a commit").version, 10);
        drop(engine);
        assert_holds(&Arc::new(open(folder.path())), 10);
    }
}

/// The newest log after ten small commits and a large one, and where the large one begins.
fn with_large_last() -> (tempfile::TempDir, PathBuf, usize) {
    let folder = filled(10);
    let engine = open(folder.path());
    for n in 11..=20 {
        commit(&engine, nth(n)).expect("a commit");
    }
    let log = newest(folder.path(), "log");
    let start = fs::metadata(&log).expect("a file").len() as usize;
    let mut large = nth(21);
    large.put(LOG, "large", vec![b'y'; 85_000]);
    large.put(LOG, "larger", vec![b'z'; 85_000]);
    commit(&engine, large).expect("a commit");
    (folder, log, start)
}

/// A power cut may leave any of the pages of the last write as zeros or as they were before.
#[test]
fn a_last_commit_with_missing_pages_costs_only_itself() {
    let (whole, log, start) = with_large_last();
    let length = fs::metadata(&log).expect("a file").len() as usize;
    let pages: Vec<usize> = (start..length).step_by(4_096).collect();
    let cases = pages.iter().map(|page| *page..(*page + 4_096).min(length));
    let cases = cases.chain([start..length, start..start + 100_000, length - 9..length]);
    let mut wrong = Vec::new();
    for lost in cases {
        let copy = copy_of(whole.path());
        let path = copy.path().join(log.file_name().expect("a name"));
        let mut bytes = fs::read(&path).expect("a file");
        bytes[lost.clone()].fill(0);
        fs::write(&path, bytes).expect("a file");
        let opened = super::RocksEngine::open(copy.path(), &crate::conformance::TABLES, options());
        match opened {
            Err(error) => wrong.push(format!("{:?} {error}", lost.start - start..lost.end - start)),
            Ok(engine) => assert_holds(&Arc::new(engine), 20),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn zeros_after_the_log_are_no_damage() {
    let folder = filled(10);
    let log = newest(folder.path(), "log");
    let length = fs::metadata(&log).expect("a file").len();
    let file = fs::File::options().write(true).open(&log).expect("a file");
    file.set_len(length + 5_000).expect("a longer file");
    assert_holds(&Arc::new(open(folder.path())), 10);
}

#[test]
fn damage_in_the_middle_of_the_log_is_refused() {
    let folder = filled(400);
    let log = newest(folder.path(), "log");
    let mut bytes = fs::read(&log).expect("a file");
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    fs::write(&log, bytes).expect("a file");
    let why = refusal(folder.path(), options());
    assert!(why.contains("Corruption"), "{why}");
}

/// Wherever it is: RocksDB alone would take some of it for the end of the log.
#[test]
fn damage_in_front_of_a_whole_commit_is_refused() {
    let (whole, log, start) = with_large_last();
    for at in (start - 1_500..start).step_by(7) {
        let copy = copy_of(whole.path());
        let path = copy.path().join(log.file_name().expect("a name"));
        let mut bytes = fs::read(&path).expect("a file");
        bytes[at] ^= 0x41;
        fs::write(&path, bytes).expect("a file");
        let why = refusal(copy.path(), options());
        assert!(why.contains("Corruption"), "{at}: {why}");
    }
}

#[test]
fn a_lost_log_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    commit(&engine, nth(1)).expect("a commit");
    let first = newest(folder.path(), "log");
    // The log is closed and the next one begun, while the first is still needed by other tables.
    engine.shared.database().expect("open").flush(LOOSE).expect("a flush");
    commit(&engine, nth(2)).expect("a commit");
    drop(engine);
    fs::remove_file(first).expect("a file");
    let why = refusal(folder.path(), options());
    assert!(why.contains("Corruption"), "{why}");
}

#[test]
fn a_damaged_table_file_is_told_and_not_taken_for_absence() {
    let folder = filled(100);
    let engine = open(folder.path());
    engine.shared.database().expect("open").flush(LOOSE).expect("a flush");
    drop(engine);
    let files: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|file| file.expect("a file").file_name())
        .filter(|name| Path::new(name).extension().is_some_and(|found| found == "sst"))
        .collect();
    let detected = files.iter().filter(|name| {
        let copy = copy_of(folder.path());
        let path = copy.path().join(name);
        let mut bytes = fs::read(&path).expect("a file");
        bytes[20] ^= 1;
        fs::write(&path, bytes).expect("a file");
        !reads_whole(copy.path())
    });
    assert!(detected.count() > 0);
    assert!(reads_whole(folder.path()));
}

fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for file in fs::read_dir(folder).expect("a folder") {
        let file = file.expect("a file");
        fs::copy(file.path(), copy.path().join(file.file_name())).expect("a copy");
    }
    copy
}

/// Whether every row is read; a row may be refused, but never be missing.
fn reads_whole(folder: &Path) -> bool {
    let Ok(engine) = super::RocksEngine::open(folder, &crate::conformance::TABLES, options())
    else {
        return false;
    };
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let snapshot = Store::new(engine, ACME).snapshot();
    (1..=100).all(|n| match snapshot.get(LOOSE, &key(n)) {
        Ok(row) => {
            assert!(row.is_some(), "row {n} is missing");
            true
        }
        Err(_) => false,
    })
}

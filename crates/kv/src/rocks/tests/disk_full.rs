//! A disk that fills up, and has space again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use super::{ACME, key, open, options, wait};
use crate::{
    Batch, BatchId, CommitError, Health, Outcome, RocksEngine, RocksOptions, Store, StoreError,
    conformance::{LOOSE, TABLES},
    rocks::recovery::Recovery,
};

/// A small file system of its own.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=40m", "kontor-test"])
            .arg(folder.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { folder })
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_broken_disk_stops_writes_until_the_store_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Arc::new(open(folder.path()));
    let store = Store::new(engine.clone(), ACME);
    wait(store.commit(large(1))).expect("a commit");
    let mut recovery = Recovery::new(Duration::from_millis(1));
    recovery.write_failed(&engine.shared, "IO error: While fdatasync: Input/output error");
    assert_eq!(recovery.patience(), None);
    let Health::ReadOnly { why } = store.health() else { panic!("it should refuse writes") };
    assert!(why.contains("a write failed"), "{why}");
    let refused = wait(store.commit(large(2)));
    assert!(matches!(refused, Err(CommitError::Unavailable { why: said }) if said == why));
    assert_has(&store, &[(1, 1)]);
    drop((engine, store));
    let store = Store::new(Arc::new(open(folder.path())), ACME);
    assert_has(&store, &[(1, 1)]);
    assert_eq!(wait(store.commit(large(2))).expect("a commit").version, 2);
}

const CHILD: &str = "KV_TEST_SMALL_FILES";

#[test]
fn a_full_disk_stops_writes_only_and_only_until_there_is_space() {
    match SmallDisk::mount() {
        Some(disk) => {
            fs::write(disk.ballast(), vec![1; 24 << 20]).expect("ballast");
            let free = || fs::remove_file(disk.ballast()).expect("ballast");
            goes_through_a_full_disk(&disk.folder.path().join("store"), free);
        }
        // Without the right to mount, the limit on the size of files tells the same story.
        None => rerun_with_small_files(),
    }
}

#[test]
fn a_limit_on_files_stops_writes_only_and_only_until_it_is_raised() {
    rerun_with_small_files();
}

/// Runs the test below in a process whose files may be of 3 MiB at most, to begin with.
fn rerun_with_small_files() {
    let program = std::env::current_exe().expect("this program");
    let test = "rocks::tests::disk_full::the_process_with_small_files";
    let finished = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 6144; exec \"$0\" \"$1\" --exact --nocapture"])
        .arg(program)
        .arg(test)
        .env(CHILD, "1")
        .output()
        .expect("a process");
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    let complained = String::from_utf8_lossy(&finished.stderr).into_owned();
    assert!(finished.status.success(), "{said}\n{complained}");
    assert!(said.contains("1 passed"), "{said}");
}

/// Only does something when [`rerun_with_small_files`] has started it: the limit is the process's.
#[test]
fn the_process_with_small_files() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    goes_through_a_full_disk(&folder.path().join("store"), || {
        let raised = Command::new("prlimit")
            .arg(format!("--pid={}", std::process::id()))
            .arg("--fsize=unlimited:unlimited")
            .status();
        assert!(raised.is_ok_and(|status| status.success()));
    });
}

fn goes_through_a_full_disk(folder: &Path, free: impl FnOnce()) {
    let options = RocksOptions { probe_interval: Duration::from_millis(10), ..options() };
    let engine = Arc::new(RocksEngine::open(folder, &TABLES, options).expect("a store"));
    let store = Store::new(engine.clone(), ACME);

    let mut acknowledged = Vec::new();
    let mut unknown = Vec::new();
    let mut n = 0;
    while unknown.is_empty() {
        n += 1;
        assert!(n < 5_000, "the disk does not fill up");
        match wait(store.commit(large(n))) {
            Ok(committed) => acknowledged.push((n, committed.version)),
            Err(CommitError::Unknown) => unknown.push(n),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!acknowledged.is_empty());
    let Health::ReadOnly { why } = store.health() else { panic!("it should refuse writes") };
    assert!(why.contains("the disk is full"), "{why}");
    let refused = wait(store.commit(large(n + 1)));
    assert!(matches!(refused, Err(CommitError::Unavailable { why: said }) if said == why));
    assert!(matches!(store.outcome(BatchId(n.into())), Err(StoreError::Undecided)));
    assert_has(&store, &acknowledged);

    let reader = store.snapshot();
    free();
    // Not under a reader; and it reads on meanwhile.
    assert!(reader.get(LOOSE, &key(1)).expect("a read").is_some());
    assert_ne!(store.health(), Health::ReadWrite);
    assert_has(&store, &acknowledged);
    drop(reader);
    wait_until(|| store.health() == Health::ReadWrite);
    assert_has(&store, &acknowledged);
    if let Outcome::Committed(version) = store.outcome(BatchId(n.into())).expect("an outcome") {
        acknowledged.push((n, version));
    }
    let committed = wait(store.commit(large(n + 2))).expect("a commit");
    acknowledged.push((n + 2, committed.version));
    assert_has(&store, &acknowledged);
    let versions: Vec<_> = acknowledged.iter().map(|(_, version)| *version).collect();
    assert_eq!(versions, (1..=acknowledged.len() as u64).collect::<Vec<_>>());

    drop((engine, store));
    assert_has(&Store::new(Arc::new(open(folder)), ACME), &acknowledged);
}

fn wait_until(mut reached: impl FnMut() -> bool) {
    let polling = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let deadline = Duration::from_secs(60);
    runtime
        .expect("a runtime")
        .block_on(async { tokio::time::timeout(deadline, polling).await })
        .expect("it is reached in time");
}

fn large(n: u64) -> Batch {
    let mut batch = Batch::new(BatchId(n.into()));
    // Not compressible, so that table files need their space too.
    let mut state = n;
    let noise = std::iter::repeat_with(|| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    batch.put(LOOSE, key(n), noise.take(60_000).collect::<Vec<u8>>());
    batch
}

fn assert_has(store: &Store, acknowledged: &[(u64, u64)]) {
    let snapshot = store.snapshot();
    for (n, version) in acknowledged {
        assert!(snapshot.get(LOOSE, &key(*n)).expect("a read").is_some(), "row {n}");
        let outcome = store.outcome(BatchId((*n).into())).expect("an outcome");
        assert_eq!(outcome, Outcome::Committed(*version));
    }
    assert_eq!(store.version().expect("a version"), acknowledged.last().map_or(0, |last| last.1));
}

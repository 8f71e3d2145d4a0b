//! What RocksDB does beside the work of people.

use std::fs;

use super::*;

/// The niceness of this process's threads of this name (proc_pid_stat(5), field 19).
fn niceness(name: &str) -> Vec<i32> {
    let threads = fs::read_dir("/proc/self/task").expect("threads");
    let stats =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            let (start, fields) = stat.rsplit_once(") ")?;
            let is_named = start.split_once('(').is_some_and(|(_, found)| found == name);
            is_named.then(|| fields.split(' ').nth(16)?.parse().ok()).flatten()
        })
        .collect()
}

#[test]
fn compaction_gives_way_to_people() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    commit(&engine, nth(1)).expect("a commit");
    engine.compact().expect("a compaction");
    let niceness = niceness("rocksdb:low");
    assert!(niceness.contains(&19), "{niceness:?}");
}

//! The queue: bounded, in order, emptied before the engine goes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{ACME, assert_holds, nth, open, options, prefixed, wait};
use crate::{
    Batch, BatchId, CommitError, Engine, Health, HomeserverId, RocksEngine, RocksOptions, Store,
    StoreError,
    conformance::{LOOSE, TABLES},
    rocks::queue::{Job, Queue, Work},
};
use tokio::sync::oneshot;

#[test]
fn a_full_queue_refuses_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = RocksOptions { queue_bytes_max: 200_000, ..options() };
    let engine = RocksEngine::open(folder.path(), &TABLES, options).expect("a store");
    let large = |n: u64| {
        let mut batch = Batch::new(BatchId(n.into()));
        batch.put(LOOSE, format!("{n}"), vec![b'x'; 80_000]);
        prefixed(batch)
    };
    let commits: Vec<_> = (0..300).map(|n| engine.submit(ACME, large(n))).collect();
    let results: Vec<_> = commits.into_iter().map(wait).collect();
    let committed = results.iter().filter(|result| result.is_ok()).count() as u64;
    let refused = results
        .iter()
        .filter(|result| matches!(result, Err(CommitError::Unavailable { .. })))
        .count() as u64;
    assert_eq!(committed + refused, 300);
    assert!(refused > 0);
    assert_eq!(engine.version(ACME).expect("a version"), committed);
    assert!(wait(engine.submit(ACME, large(300))).is_ok());
}

#[test]
fn one_homeserver_cannot_fill_the_queue_for_the_others() {
    let queue = Queue::new(200_000);
    let push = |homeserver| {
        let (reply, answer) = oneshot::channel();
        let batch = Batch::new(BatchId(1));
        queue.push(Job::Commit { homeserver, batch, reply }, 30_000);
        answer
    };
    let mut waiting = Vec::new();
    for homeserver in [ACME, GLOBEX] {
        waiting.extend((0..3).map(|_| push(homeserver)));
        let refused = push(homeserver).try_recv().expect("an answer");
        let Err(CommitError::Unavailable { why }) = refused else { panic!("{refused:?}") };
        assert_eq!(&*why, "too many commits of this homeserver wait");
    }
    assert!(waiting.iter_mut().all(|answer| answer.try_recv().is_err()));
    assert!(matches!(queue.take(None), Work::Group(jobs) if jobs.len() == 6));
    assert!(push(ACME).try_recv().is_err());
}

#[test]
fn a_homeserver_with_a_thousand_commits_keeps_anothers_waiting_for_no_more_than_one_group() {
    let queue = Queue::new(256 << 20);
    let push = |homeserver, id| {
        let (reply, _) = oneshot::channel();
        let batch = Batch::new(BatchId(id));
        queue.push(Job::Commit { homeserver, batch, reply }, 50_000);
    };
    let group = || match queue.take(None) {
        Work::Group(jobs) => jobs.iter().filter_map(Job::names).collect::<Vec<_>>(),
        Work::Idle | Work::Closed => panic!("no group"),
    };
    (0..1_000).for_each(|id| push(ACME, id));
    let first = group();
    assert!(first.len() < 100, "{} in one group", first.len());
    // The first group is at the disk. Whatever comes now is in the next one, in order.
    let globex: Vec<_> = (0..3).map(|id| (GLOBEX, BatchId(id))).collect();
    (0..3).for_each(|id| push(GLOBEX, id));
    let second = group();
    let of = |homeserver: HomeserverId, group: &[(HomeserverId, BatchId)]| {
        group.iter().filter(|name| name.0 == homeserver).copied().collect::<Vec<_>>()
    };
    assert_eq!(of(GLOBEX, &second), globex);
    // And nobody loses anything, nor his order.
    let mut acme = [of(ACME, &first), of(ACME, &second)].concat();
    while acme.len() < 1_000 {
        acme.extend(group());
    }
    assert_eq!(acme, (0..1_000).map(|id| (ACME, BatchId(id))).collect::<Vec<_>>());
}

const GLOBEX: HomeserverId = HomeserverId(8);

#[test]
fn what_waits_when_the_engine_goes_is_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    let commits: Vec<_> = (1..=500).map(|n| engine.submit(ACME, prefixed(nth(n)))).collect();
    drop(engine);
    for (expected, commit) in (1..).zip(commits) {
        assert_eq!(wait(commit).expect("a commit").version, expected);
    }
    assert_holds(&Arc::new(open(folder.path())), 500);
}

#[test]
fn an_outcome_is_never_told_before_it_is_decided() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Arc::new(open(folder.path()));
    let store = Store::new(engine.clone(), ACME);
    let commits: Vec<_> = (1..=300).map(|n| store.submit(nth(n))).collect();
    for n in 1..=300 {
        let outcome = loop {
            match store.outcome(BatchId(n)) {
                Err(StoreError::Undecided) => thread::yield_now(),
                decided => break decided.expect("an outcome"),
            }
        };
        assert_eq!(outcome, crate::Outcome::Committed(n as u64));
    }
    for commit in commits {
        wait(commit).expect("a commit");
    }
}

#[test]
fn many_threads_commit_to_many_homeservers() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine: Arc<dyn Engine> = Arc::new(open(folder.path()));
    let threads: Vec<_> = (0..8u32)
        .map(|thread| {
            let store = Store::new(engine.clone(), HomeserverId(thread % 4));
            thread::spawn(move || {
                let mut versions = Vec::new();
                for n in 0..100 {
                    let batch = nth(u64::from(thread) * 1_000 + n);
                    versions.push(wait(store.commit(batch)).expect("a commit").version);
                }
                (thread % 4, versions)
            })
        })
        .collect();
    let mut found = vec![Vec::new(); 4];
    for thread in threads {
        let (homeserver, versions) = thread.join().expect("a thread");
        assert!(versions.is_sorted());
        found[homeserver as usize].extend(versions);
    }
    for mut versions in found {
        versions.sort_unstable();
        assert_eq!(versions, (1..=200).collect::<Vec<_>>());
    }
}

#[test]
fn a_committer_that_panics_leaves_nobody_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let panics = Arc::new(AtomicBool::new(false));
    let mut options = options();
    options.clock = {
        let panics = panics.clone();
        Arc::new(move || if panics.load(Ordering::Relaxed) { panic!("asked for") } else { 1 })
    };
    let engine = RocksEngine::open(folder.path(), &TABLES, options).expect("a store");
    wait(engine.submit(ACME, prefixed(nth(1)))).expect("a commit");
    panics.store(true, Ordering::Relaxed);
    let commits: Vec<_> = (2..=50).map(|n| engine.submit(ACME, prefixed(nth(n)))).collect();
    for commit in commits {
        let refusal = wait(commit).expect_err("no commit");
        assert!(matches!(refusal, CommitError::Unknown | CommitError::Unavailable { .. }));
    }
    assert!(matches!(engine.health(), Health::ReadOnly { .. }));
    drop(engine);
    assert_holds(&Arc::new(open(folder.path())), 1);
}

//! Versions, epochs, outcomes and hints.

use super::{Case, LOOSE, World, bytes, put};
use crate::{BatchId, CommitError, Health, Outcome, Precondition, StoreError};

pub(super) const CASES: &[Case] = &[
    Case { name: "a new homeserver is at version 0", run: starts_at_zero },
    Case { name: "versions are dense", run: dense },
    Case { name: "an empty batch gets a version", run: empty_batch },
    Case { name: "a refused batch gets none", run: refused_gets_none },
    Case { name: "every homeserver counts for itself", run: counted_apart },
    Case { name: "a version that is seen has everything up to it", run: seen_is_complete },
    Case { name: "without a lease anybody commits", run: no_lease },
    Case { name: "the holder of the epoch commits", run: holder_commits },
    Case { name: "an older epoch is fenced off", run: fenced },
    Case { name: "an epoch that never began is refused", run: future_epoch },
    Case { name: "a fence takes its place in the queue", run: fence_in_order },
    Case { name: "a fence moves no version", run: fence_keeps_version },
    Case { name: "epochs of homeservers are apart", run: epochs_apart },
    Case { name: "fencing comes before preconditions", run: fenced_first },
    Case { name: "the outcome of a commit is its version", run: outcome_committed },
    Case { name: "the outcome of an unknown batch is that it never happened", run: outcome_never },
    Case { name: "the outcome of a refused batch is that it never happened", run: outcome_refused },
    Case { name: "the same id at two homeservers is two batches", run: outcome_apart },
    Case { name: "subscribers get a hint", run: hints },
    Case { name: "a healthy engine says so", run: healthy },
];

fn starts_at_zero(world: &World) {
    assert_eq!(world.acme.version().expect("a version"), 0);
}

fn dense(world: &World) {
    for expected in 1..=50 {
        assert_eq!(world.do_ops([put(LOOSE, "k", "v")]), expected);
        assert_eq!(world.acme.version().expect("a version"), expected);
    }
}

fn empty_batch(world: &World) {
    assert_eq!(world.do_ops([]), 1);
    assert_eq!(world.do_ops([]), 2);
}

fn refused_gets_none(world: &World) {
    assert_eq!(world.do_ops([]), 1);
    world.refusal(world.requiring(Precondition::Present(LOOSE, bytes("k"))));
    assert_eq!(world.do_ops([]), 2);
}

fn counted_apart(world: &World) {
    world.do_ops([]);
    world.do_ops([]);
    let other = world.wait(world.globex.commit(world.batch())).expect("a commit");
    assert_eq!(other.version, 1);
    assert_eq!(world.acme.version().expect("a version"), 2);
}

fn seen_is_complete(world: &World) {
    let commits: Vec<_> = (1..=100)
        .map(|n: u64| world.acme.submit(world.of([put(LOOSE, &n.to_string(), "v")])))
        .collect();
    loop {
        let version = world.acme.version().expect("a version");
        let snapshot = world.acme.snapshot();
        for n in 1..=version {
            assert!(super::read(&snapshot, LOOSE, &n.to_string()).is_some());
        }
        if version == 100 {
            break;
        }
    }
    for commit in commits {
        world.wait(commit).expect("a commit");
    }
}

fn no_lease(world: &World) {
    world.wait(world.acme.fence()).expect("an epoch");
    assert_eq!(world.do_ops([]), 1);
}

fn holder_commits(world: &World) {
    let epoch = world.wait(world.acme.fence()).expect("an epoch");
    let mut batch = world.of([put(LOOSE, "k", "v")]);
    batch.epoch = Some(epoch);
    assert_eq!(world.done(batch), 1);
}

fn fenced(world: &World) {
    let old = world.wait(world.acme.fence()).expect("an epoch");
    let new = world.wait(world.acme.fence()).expect("an epoch");
    assert!(new > old);
    let mut batch = world.of([put(LOOSE, "k", "v")]);
    batch.epoch = Some(old);
    assert!(matches!(world.refusal(batch), CommitError::Fenced { now } if now == new));
    assert_eq!(world.get(LOOSE, "k"), None);
}

fn future_epoch(world: &World) {
    let epoch = world.wait(world.acme.fence()).expect("an epoch");
    let mut batch = world.batch();
    batch.epoch = Some(epoch + 1);
    assert!(matches!(world.refusal(batch), CommitError::Fenced { now } if now == epoch));
}

fn fence_in_order(world: &World) {
    let epoch = world.wait(world.acme.fence()).expect("an epoch");
    let batch = |key| {
        let mut batch = world.of([put(LOOSE, key, "v")]);
        batch.epoch = Some(epoch);
        batch
    };
    let before = world.acme.submit(batch("before"));
    let fence = world.engine.fence(world.acme.homeserver());
    let after = world.acme.submit(batch("after"));
    assert!(world.wait(before).is_ok());
    assert_eq!(world.wait(fence).expect("an epoch"), epoch + 1);
    assert!(matches!(world.wait(after), Err(CommitError::Fenced { .. })));
    assert_eq!(world.keys(LOOSE), ["before"]);
}

fn fence_keeps_version(world: &World) {
    world.do_ops([]);
    world.wait(world.acme.fence()).expect("an epoch");
    assert_eq!(world.acme.version().expect("a version"), 1);
    assert_eq!(world.do_ops([]), 2);
}

fn epochs_apart(world: &World) {
    let epoch = world.wait(world.acme.fence()).expect("an epoch");
    world.wait(world.globex.fence()).expect("an epoch");
    world.wait(world.globex.fence()).expect("an epoch");
    let mut batch = world.batch();
    batch.epoch = Some(epoch);
    assert!(world.commit(batch).is_ok());
}

fn fenced_first(world: &World) {
    let epoch = world.wait(world.acme.fence()).expect("an epoch");
    let mut batch = world.requiring(Precondition::Present(LOOSE, bytes("k")));
    batch.epoch = Some(epoch - 1);
    assert!(matches!(world.refusal(batch), CommitError::Fenced { .. }));
}

fn outcome_committed(world: &World) {
    world.do_ops([]);
    let batch = world.batch();
    let id = batch.id;
    let version = world.done(batch);
    assert_eq!(world.acme.outcome(id).expect("an outcome"), Outcome::Committed(version));
}

fn outcome_never(world: &World) {
    let outcome = world.acme.outcome(BatchId(u128::MAX)).expect("an outcome");
    assert_eq!(outcome, Outcome::NotCommitted);
}

fn outcome_refused(world: &World) {
    let batch = world.requiring(Precondition::Present(LOOSE, bytes("k")));
    let id = batch.id;
    world.refusal(batch);
    assert_eq!(world.acme.outcome(id).expect("an outcome"), Outcome::NotCommitted);
}

fn outcome_apart(world: &World) {
    let batch = world.batch();
    let id = batch.id;
    world.done(batch);
    assert_eq!(world.globex.outcome(id).expect("an outcome"), Outcome::NotCommitted);
}

fn hints(world: &World) {
    let mut hints = world.acme.subscribe();
    let version = world.do_ops([]);
    world.wait(async {
        loop {
            let (homeserver, hinted) = hints.recv().await.expect("a hint");
            if homeserver == world.acme.homeserver() && hinted >= version {
                break;
            }
        }
    });
}

fn healthy(world: &World) {
    assert_eq!(world.acme.health(), Health::ReadWrite);
    let undecided: Result<Outcome, StoreError> = world.acme.outcome(BatchId(7));
    assert!(undecided.is_ok());
}

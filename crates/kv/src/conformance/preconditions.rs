//! Preconditions: evaluated in commit order, against what the earlier commits left.

use super::{Case, LOG, LOOSE, TABLES, TICKETS, World, bytes, delete, delete_range, put};
use crate::{Batch, CommitError, Op, Precondition, Table};

pub(super) const CASES: &[Case] = &[
    Case { name: "absent holds for a row that is not there", run: absent },
    Case { name: "present holds for a row that is there", run: present },
    Case { name: "equals compares the whole value", run: equals },
    Case { name: "version-is compares the version", run: version_is },
    Case { name: "the index of the first that fails is told", run: index },
    Case { name: "preconditions see other tables", run: across_tables },
    Case { name: "preconditions see neither the batch's own ops", run: not_own_ops },
    Case { name: "of many that race for a key one wins", run: one_winner },
    Case { name: "of many that race on a version one wins", run: one_version },
    Case { name: "a chain of compare-and-set in one group holds", run: chain },
    Case { name: "a refused batch leaves no trace for the next", run: no_trace },
    Case { name: "a queued delete is seen", run: queued_delete },
    Case { name: "a queued range delete is seen", run: queued_range },
    Case { name: "a queued row at a version is seen", run: queued_at_version },
    Case { name: "an expiring row compares without its time", run: expiring_equals },
];

fn expect(world: &World, precondition: Precondition, holds: bool) {
    match world.commit(world.requiring(precondition)) {
        Ok(_) => assert!(holds, "it should not hold"),
        Err(CommitError::Precondition(0)) => assert!(!holds, "it should hold"),
        Err(error) => panic!("{error}"),
    }
}

fn absent(world: &World) {
    for table in TABLES {
        expect(world, Precondition::Absent(table, bytes("k")), true);
        world.do_ops([put(table, "k", "")]);
        expect(world, Precondition::Absent(table, bytes("k")), false);
        world.do_ops([delete(table, "k")]);
        expect(world, Precondition::Absent(table, bytes("k")), true);
    }
}

fn present(world: &World) {
    for table in TABLES {
        expect(world, Precondition::Present(table, bytes("k")), false);
        world.do_ops([put(table, "k", "")]);
        expect(world, Precondition::Present(table, bytes("k")), true);
    }
}

fn equals(world: &World) {
    let equals = |value| Precondition::Equals(LOOSE, bytes("k"), bytes(value));
    expect(world, equals(""), false);
    world.do_ops([put(LOOSE, "k", "value")]);
    expect(world, equals("value"), true);
    expect(world, equals("valu"), false);
    expect(world, equals("value "), false);
    expect(world, equals(""), false);
}

fn version_is(world: &World) {
    expect(world, Precondition::VersionIs(1), false);
    expect(world, Precondition::VersionIs(0), true);
    expect(world, Precondition::VersionIs(1), true);
    expect(world, Precondition::VersionIs(1), false);
}

fn index(world: &World) {
    world.do_ops([put(LOOSE, "there", "v")]);
    let mut batch = world.batch();
    batch.require(Precondition::Present(LOOSE, bytes("there")));
    batch.require(Precondition::VersionIs(1));
    batch.require(Precondition::Absent(LOOSE, bytes("there")));
    batch.require(Precondition::Present(LOOSE, bytes("nowhere")));
    assert!(matches!(world.refusal(batch), CommitError::Precondition(2)));
}

fn across_tables(world: &World) {
    world.do_ops([put(LOG, "k", "v")]);
    expect(world, Precondition::Absent(LOOSE, bytes("k")), true);
    expect(world, Precondition::Present(LOG, bytes("k")), true);
}

fn not_own_ops(world: &World) {
    let mut batch = world.of([put(LOOSE, "k", "v")]);
    batch.require(Precondition::Absent(LOOSE, bytes("k")));
    world.done(batch);
    let mut batch = world.of([delete(LOOSE, "k")]);
    batch.require(Precondition::Present(LOOSE, bytes("k")));
    world.done(batch);
}

fn queue(world: &World, batches: Vec<Batch>) -> Vec<bool> {
    let commits: Vec<_> = batches.into_iter().map(|batch| world.acme.submit(batch)).collect();
    commits.into_iter().map(|commit| world.wait(commit).is_ok()).collect()
}

fn racer(world: &World, precondition: Precondition, op: Op) -> Batch {
    let mut batch = world.of([op]);
    batch.require(precondition);
    batch
}

fn one_winner(world: &World) {
    let absent = || Precondition::Absent(LOOSE, bytes("k"));
    let race = (0..50).map(|n| racer(world, absent(), put(LOOSE, "k", &n.to_string())));
    let won = queue(world, race.collect());
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert!(won[0]);
    assert_eq!(world.get(LOOSE, "k").as_deref(), Some("0"));
}

fn one_version(world: &World) {
    let race = (0..50).map(|_| world.requiring(Precondition::VersionIs(0)));
    let won = queue(world, race.collect());
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(world.acme.version().expect("a version"), 1);
}

fn chain(world: &World) {
    world.do_ops([put(LOOSE, "k", "0")]);
    let step = |n: u32| {
        let was = Precondition::Equals(LOOSE, bytes("k"), bytes(&n.to_string()));
        racer(world, was, put(LOOSE, "k", &(n + 1).to_string()))
    };
    assert_eq!(queue(world, (0..100).map(step).collect()), vec![true; 100]);
    assert_eq!(world.get(LOOSE, "k").as_deref(), Some("100"));
}

fn no_trace(world: &World) {
    let refused = racer(world, Precondition::VersionIs(9), put(LOOSE, "k", "v"));
    let next = world.requiring(Precondition::Absent(LOOSE, bytes("k")));
    assert_eq!(queue(world, vec![refused, next]), [false, true]);
}

fn after(world: &World, ops: Vec<Op>, table: Table, key: &str) -> Vec<bool> {
    world.do_ops([put(table, key, "v")]);
    let next = world.requiring(Precondition::Absent(table, bytes(key)));
    queue(world, vec![world.of(ops), next])
}

fn queued_delete(world: &World) {
    assert_eq!(after(world, vec![delete(LOOSE, "k")], LOOSE, "k"), [true, true]);
    let again = vec![delete(LOOSE, "k"), put(LOOSE, "k", "w")];
    assert_eq!(after(world, again, LOOSE, "k"), [true, false]);
}

fn queued_range(world: &World) {
    assert_eq!(after(world, vec![delete_range(LOOSE, "a", "z")], LOOSE, "k"), [true, true]);
    assert_eq!(after(world, vec![delete_range(LOOSE, "a", "k")], LOOSE, "k"), [true, false]);
    assert_eq!(after(world, vec![delete_range(LOG, "a", "z")], LOOSE, "k"), [true, false]);
}

fn queued_at_version(world: &World) {
    let key = [b"log".as_slice(), &1u64.to_be_bytes()].concat();
    let op =
        Op::PutAtVersion { table: LOG, prefix: bytes("log"), suffix: bytes(""), value: bytes("v") };
    let next = world.requiring(Precondition::Present(LOG, key.into()));
    assert_eq!(queue(world, vec![world.of([op]), next]), [true, true]);
}

fn expiring_equals(world: &World) {
    world.do_ops([put(TICKETS, "k", "v")]);
    expect(world, Precondition::Equals(TICKETS, bytes("k"), bytes("v")), true);
}

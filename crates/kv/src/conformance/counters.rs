//! Add and Max.

use super::{Case, LOOSE, TABLES, World, bytes, delete, put};
use crate::{CommitError, Op, Precondition, Table};

pub(super) const CASES: &[Case] = &[
    Case { name: "an absent counter is 0", run: from_nothing },
    Case { name: "a counter may fall below 0", run: negative },
    Case { name: "additions of one batch add up", run: in_one_batch },
    Case { name: "additions of one group add up", run: in_one_group },
    Case { name: "a counter stops at its ends", run: saturates },
    Case { name: "a put and a delete in the batch are counted on", run: after_put },
    Case { name: "max raises", run: max_raises },
    Case { name: "max never lowers", run: max_keeps },
    Case { name: "a refused addition is not counted", run: refused },
    Case { name: "a row that is no number is refused and kept", run: no_number },
];

fn add(table: Table, amount: i64) -> Op {
    Op::Add(table, bytes("n"), amount)
}

fn max(least: u64) -> Op {
    Op::Max(LOOSE, bytes("m"), least)
}

fn number(world: &World, table: Table, key: &str) -> [u8; 8] {
    let row = world.acme.snapshot().get(table, key.as_bytes()).expect("a read").expect("a number");
    row.as_ref().try_into().expect("eight bytes")
}

fn counter(world: &World, table: Table) -> i64 {
    i64::from_be_bytes(number(world, table, "n"))
}

fn from_nothing(world: &World) {
    for table in TABLES {
        world.do_ops([add(table, 7)]);
        assert_eq!(counter(world, table), 7);
        world.do_ops([add(table, 5)]);
        assert_eq!(counter(world, table), 12);
    }
}

fn negative(world: &World) {
    world.do_ops([add(LOOSE, -3)]);
    assert_eq!(counter(world, LOOSE), -3);
}

fn in_one_batch(world: &World) {
    world.do_ops([add(LOOSE, 1), add(LOOSE, 2), add(LOOSE, 3)]);
    assert_eq!(counter(world, LOOSE), 6);
}

fn in_one_group(world: &World) {
    let commits: Vec<_> = (1..=100).map(|n| world.acme.submit(world.of([add(LOOSE, n)]))).collect();
    for commit in commits {
        world.wait(commit).expect("a commit");
    }
    assert_eq!(counter(world, LOOSE), 5_050);
}

fn saturates(world: &World) {
    world.do_ops([add(LOOSE, i64::MAX), add(LOOSE, i64::MAX)]);
    assert_eq!(counter(world, LOOSE), i64::MAX);
}

fn after_put(world: &World) {
    world.do_ops([add(LOOSE, 40)]);
    let ten = Op::Put(LOOSE, bytes("n"), bytes::Bytes::copy_from_slice(&10i64.to_be_bytes()));
    world.do_ops([ten, add(LOOSE, 1)]);
    assert_eq!(counter(world, LOOSE), 11);
    world.do_ops([delete(LOOSE, "n"), add(LOOSE, 1)]);
    assert_eq!(counter(world, LOOSE), 1);
    world.do_ops([super::delete_range(LOOSE, "a", "z"), add(LOOSE, 2)]);
    assert_eq!(counter(world, LOOSE), 2);
}

fn max_raises(world: &World) {
    world.do_ops([max(5)]);
    world.do_ops([max(u64::MAX)]);
    assert_eq!(u64::from_be_bytes(number(world, LOOSE, "m")), u64::MAX);
}

fn max_keeps(world: &World) {
    world.do_ops([max(5), max(3)]);
    world.do_ops([max(4)]);
    assert_eq!(u64::from_be_bytes(number(world, LOOSE, "m")), 5);
}

fn refused(world: &World) {
    let mut batch = world.of([add(LOOSE, 1)]);
    batch.require(Precondition::VersionIs(99));
    let refused = world.acme.submit(batch);
    let counted = world.acme.submit(world.of([add(LOOSE, 1)]));
    assert!(world.wait(refused).is_err());
    assert!(world.wait(counted).is_ok());
    assert_eq!(counter(world, LOOSE), 1);
}

fn no_number(world: &World) {
    world.do_ops([put(LOOSE, "n", "seven")]);
    let before = world.acme.version().expect("a version");
    let batch = world.of([put(LOOSE, "other", "v"), add(LOOSE, 1)]);
    let next = world.requiring(Precondition::Absent(LOOSE, bytes("other")));
    let (refused, next) = (world.acme.submit(batch), world.acme.submit(next));
    assert!(matches!(world.wait(refused), Err(CommitError::Unavailable { .. })));
    assert_eq!(world.wait(next).expect("a commit").version, before + 1);
    assert_eq!(world.get(LOOSE, "n").as_deref(), Some("seven"));
    assert_eq!(world.get(LOOSE, "other"), None);
}

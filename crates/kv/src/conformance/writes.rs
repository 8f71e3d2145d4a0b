//! Puts and deletes: all or nothing, in order, table by table, homeserver by homeserver.

use super::{Case, LOG, LOOSE, TABLES, TICKETS, World, bytes, delete, delete_range, put, text};
use crate::{CommitError, Op, Precondition, Profile, Table};

pub(super) const CASES: &[Case] = &[
    Case { name: "a row that was put is read", run: a_put_is_read },
    Case { name: "a row can be replaced", run: a_put_replaces },
    Case { name: "a value may be empty", run: a_value_may_be_empty },
    Case { name: "a key may be empty", run: a_key_may_be_empty },
    Case { name: "keys and values may hold any byte", run: any_byte },
    Case { name: "a deleted row is gone", run: a_delete },
    Case { name: "deleting an absent row is no error", run: an_idle_delete },
    Case { name: "the last op on a key wins", run: the_last_op_wins },
    Case { name: "a put after a range delete stays", run: put_after_range },
    Case { name: "a range delete takes earlier puts of its batch", run: range_after_put },
    Case { name: "a range delete leaves its end", run: range_end },
    Case { name: "an empty or turned range deletes nothing", run: empty_range },
    Case { name: "a range of many rows is deleted", run: large_range },
    Case { name: "tables are apart", run: tables_are_apart },
    Case { name: "homeservers are apart", run: homeservers_are_apart },
    Case { name: "a range delete stays within its homeserver", run: range_within_homeserver },
    Case { name: "a refused batch changes nothing", run: refused_changes_nothing },
    Case { name: "a row is put at the version of its commit", run: put_at_version },
    Case { name: "a row carries the version of its commit", run: put_stamped },
    Case { name: "rows at versions are ordered by them", run: versions_order },
    Case { name: "a table nobody declared is refused", run: unknown_table },
    Case { name: "submits commit in their order", run: submit_order },
    Case { name: "a dropped future takes nothing back", run: dropped_future },
    Case { name: "a batch may hold thousands of ops", run: many_ops },
];

fn a_put_is_read(world: &World) {
    for table in TABLES {
        world.do_ops([put(table, "k", "v")]);
        assert_eq!(world.get(table, "k").as_deref(), Some("v"));
        assert_eq!(world.get(table, "other"), None);
    }
}

fn a_put_replaces(world: &World) {
    for table in TABLES {
        world.do_ops([put(table, "k", "old")]);
        world.do_ops([put(table, "k", "new")]);
        assert_eq!(world.get(table, "k").as_deref(), Some("new"));
    }
}

fn a_value_may_be_empty(world: &World) {
    for table in TABLES {
        world.do_ops([put(table, "k", "")]);
        assert_eq!(world.get(table, "k").as_deref(), Some(""));
        assert_eq!(world.keys(table), ["k"]);
    }
}

fn a_key_may_be_empty(world: &World) {
    world.do_ops([put(LOOSE, "", "v")]);
    assert_eq!(world.get(LOOSE, "").as_deref(), Some("v"));
    assert_eq!(world.keys(LOOSE), [""]);
}

fn any_byte(world: &World) {
    let keys: Vec<_> = (0..=u8::MAX).map(|byte| bytes_of([byte, 0, byte])).collect();
    world.do_ops(keys.iter().map(|key| Op::Put(LOG, key.clone(), key.clone())));
    let found = world.acme.snapshot().multi_get(LOG, &keys).expect("a read");
    assert_eq!(found, keys.into_iter().map(Some).collect::<Vec<_>>());
}

fn bytes_of(bytes: [u8; 3]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&bytes)
}

fn a_delete(world: &World) {
    for table in TABLES {
        world.do_ops([put(table, "a", "1"), put(table, "b", "2")]);
        world.do_ops([delete(table, "a")]);
        assert_eq!(world.get(table, "a"), None);
        assert_eq!(world.keys(table), ["b"]);
    }
}

fn an_idle_delete(world: &World) {
    world.do_ops([delete(LOOSE, "never"), put(LOOSE, "k", "v")]);
    assert_eq!(world.keys(LOOSE), ["k"]);
}

fn the_last_op_wins(world: &World) {
    world.do_ops([put(LOOSE, "a", "1"), put(LOOSE, "a", "2")]);
    world.do_ops([put(LOOSE, "b", "1"), delete(LOOSE, "b")]);
    world.do_ops([delete(LOOSE, "a"), put(LOOSE, "a", "3")]);
    assert_eq!(world.get(LOOSE, "a").as_deref(), Some("3"));
    assert_eq!(world.get(LOOSE, "b"), None);
}

fn put_after_range(world: &World) {
    world.do_ops([put(LOOSE, "a", "old"), put(LOOSE, "b", "old")]);
    world.do_ops([delete_range(LOOSE, "a", "z"), put(LOOSE, "a", "new")]);
    assert_eq!(world.keys(LOOSE), ["a"]);
    assert_eq!(world.get(LOOSE, "a").as_deref(), Some("new"));
}

fn range_after_put(world: &World) {
    world.do_ops([put(LOOSE, "a", "1"), delete_range(LOOSE, "a", "b")]);
    assert_eq!(world.keys(LOOSE), Vec::<String>::new());
}

fn range_end(world: &World) {
    world.do_ops(["a", "b", "c", "d"].map(|key| put(LOG, key, "v")));
    world.do_ops([delete_range(LOG, "b", "d")]);
    assert_eq!(world.keys(LOG), ["a", "d"]);
}

fn empty_range(world: &World) {
    world.do_ops(["a", "b", "c"].map(|key| put(LOG, key, "v")));
    world.do_ops([delete_range(LOG, "b", "b"), delete_range(LOG, "c", "a")]);
    assert_eq!(world.keys(LOG), ["a", "b", "c"]);
}

fn large_range(world: &World) {
    world.do_ops((0..300).map(|n| put(LOG, &format!("{n:03}"), "v")));
    world.do_ops([put(LOG, "150x", "v"), delete_range(LOG, "010", "290")]);
    let expected: Vec<_> = (0..10).chain(290..300).map(|n| format!("{n:03}")).collect();
    assert_eq!(world.keys(LOG), expected);
}

fn tables_are_apart(world: &World) {
    world.do_ops([
        put(LOOSE, "k", "loose one"),
        put(LOG, "k", "logged one"),
        put(TICKETS, "k", "ticket"),
    ]);
    world.do_ops([delete(LOG, "k")]);
    assert_eq!(world.get(LOOSE, "k").as_deref(), Some("loose one"));
    assert_eq!(world.get(LOG, "k"), None);
    assert_eq!(world.get(TICKETS, "k").as_deref(), Some("ticket"));
}

fn homeservers_are_apart(world: &World) {
    world.do_ops([put(LOOSE, "k", "acme")]);
    let globex = world.of([put(LOOSE, "k", "globex"), put(LOOSE, "more", "globex")]);
    world.wait(world.globex.commit(globex)).expect("a commit");
    assert_eq!(world.get(LOOSE, "k").as_deref(), Some("acme"));
    assert_eq!(world.keys(LOOSE), ["k"]);
}

fn range_within_homeserver(world: &World) {
    let globex = world.of([put(LOOSE, "k", "globex")]);
    world.wait(world.globex.commit(globex)).expect("a commit");
    let end = crate::after_prefix(b"");
    world.do_ops([put(LOOSE, "k", "acme"), Op::DeleteRange(LOOSE, bytes(""), end)]);
    assert_eq!(world.keys(LOOSE), Vec::<String>::new());
    assert_eq!(super::keys(&world.globex.snapshot(), LOOSE), ["k"]);
}

fn refused_changes_nothing(world: &World) {
    world.do_ops([put(LOOSE, "a", "1")]);
    let mut batch = world.of([put(LOOSE, "a", "2"), put(LOG, "b", "2")]);
    batch.require(Precondition::Absent(LOOSE, bytes("a")));
    assert!(matches!(world.refusal(batch), CommitError::Precondition(0)));
    assert_eq!(world.get(LOOSE, "a").as_deref(), Some("1"));
    assert_eq!(world.get(LOG, "b"), None);
}

fn at_version(prefix: &str, suffix: &str) -> Op {
    Op::PutAtVersion {
        table: LOG,
        prefix: bytes(prefix),
        suffix: bytes(suffix),
        value: bytes(suffix),
    }
}

fn put_at_version(world: &World) {
    world.do_ops([]);
    let version = world.do_ops([at_version("p", "x"), at_version("p", "y")]);
    let key = [b"p".as_slice(), &version.to_be_bytes(), b"x"].concat();
    let value = world.acme.snapshot().get(LOG, &key).expect("a read");
    assert_eq!(value.as_deref(), Some(b"x".as_slice()));
    assert_eq!(version, 2);
}

fn put_stamped(world: &World) {
    world.do_ops([]);
    let stamped = |key| Op::PutStamped(LOOSE, bytes(key), bytes("v"));
    let version = world.do_ops([put(LOOSE, "a", "old"), stamped("a"), stamped("b")]);
    let expected = [version.to_be_bytes().as_slice(), b"v"].concat();
    for key in [b"a", b"b"] {
        let value = world.acme.snapshot().get(LOOSE, key).expect("a read");
        assert_eq!(value.as_deref(), Some(expected.as_slice()));
    }
}

fn versions_order(world: &World) {
    let commits: Vec<_> = (0..300)
        .map(|n| world.acme.submit(world.of([at_version("log", &n.to_string())])))
        .collect();
    for commit in commits {
        world.wait(commit).expect("a commit");
    }
    let mut values = Vec::new();
    let snapshot = world.acme.snapshot();
    let scanned = snapshot.scan_prefix(LOG, b"log", |_, value| {
        values.push(text(&value));
        Ok(())
    });
    scanned.expect("a scan");
    assert_eq!(values, (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
}

fn unknown_table(world: &World) {
    let table = Table { name: "nobody", profile: Profile::Random };
    assert!(matches!(
        world.refusal(world.of([put(table, "k", "v")])),
        CommitError::Unavailable { .. }
    ));
    assert!(world.acme.snapshot().get(table, b"k").is_err());
    assert!(world.acme.snapshot().scan(table, b"", b"z", false, 1).is_err());
}

fn submit_order(world: &World) {
    let commits: Vec<_> = (0..200)
        .map(|n| world.acme.submit(world.of([put(LOOSE, "last", &n.to_string())])))
        .collect();
    for (expected, commit) in (1..).zip(commits) {
        assert_eq!(world.wait(commit).expect("a commit").version, expected);
    }
    assert_eq!(world.get(LOOSE, "last").as_deref(), Some("199"));
}

fn dropped_future(world: &World) {
    drop(world.acme.submit(world.of([put(LOOSE, "k", "v")])));
    assert_eq!(world.do_ops([]), 2);
    assert_eq!(world.get(LOOSE, "k").as_deref(), Some("v"));
}

fn many_ops(world: &World) {
    world.do_ops((0..5_000).map(|n| put(LOG, &format!("{n:05}"), "v")));
    assert_eq!(world.keys(LOG).len(), 5_000);
}

//! A homeserver as a whole: export, import, erasure.

use super::{Case, LOG, LOOSE, TABLES, TICKETS, World, put, text};
use crate::{Outcome, Store};

pub(super) const CASES: &[Case] = &[
    Case { name: "an export shows every row once", run: export_rows },
    Case { name: "an export shows one homeserver only", run: export_alone },
    Case { name: "an export ends with the error of its taker", run: export_error },
    Case { name: "an erased homeserver is as new", run: erased_is_new },
    Case { name: "an erasure leaves the others", run: erased_alone },
    Case { name: "an erasure takes its place in the queue", run: erased_in_order },
    Case { name: "a version can be raised", run: raised },
    Case { name: "a version is never lowered", run: not_lowered },
    Case { name: "every table is told", run: tables },
];

fn export(world: &World, store: &Store) -> Vec<String> {
    let mut rows = Vec::new();
    let exported = world.engine.export(store.homeserver(), &mut |table, key, value| {
        rows.push(format!("{} {} {}", table.name, text(key), text(value)));
        Ok(())
    });
    exported.expect("an export");
    rows.sort();
    rows
}

fn export_rows(world: &World) {
    world.do_ops((0..1_500).map(|n| put(LOG, &format!("{n:04}"), "e")));
    world.do_ops([put(LOOSE, "k", "r"), put(TICKETS, "k", "t")]);
    let rows = export(world, &world.acme);
    assert_eq!(rows.len(), 1_502);
    assert_eq!(rows[0], "log 0000 e");
    assert_eq!(rows[1_500..], ["loose k r", "tickets k t"]);
}

fn export_alone(world: &World) {
    world.do_ops([put(LOOSE, "k", "acme")]);
    let other = world.of([put(LOOSE, "k", "globex")]);
    world.wait(world.globex.commit(other)).expect("a commit");
    assert_eq!(export(world, &world.acme), ["loose k acme"]);
}

fn export_error(world: &World) {
    world.do_ops([put(LOOSE, "k", "v")]);
    let refused = crate::StoreError::Read("the file is full".into());
    let exported =
        world.engine.export(world.acme.homeserver(), &mut |_, _, _| Err(refused.clone()));
    assert!(exported.is_err());
}

fn erased_is_new(world: &World) {
    let batch = world.of(TABLES.map(|table| put(table, "k", "v")));
    let id = batch.id;
    world.done(batch);
    world.wait(world.acme.fence()).expect("an epoch");
    world.wait(world.engine.erase(world.acme.homeserver())).expect("an erasure");
    assert!(export(world, &world.acme).is_empty());
    assert_eq!(world.acme.version().expect("a version"), 0);
    assert_eq!(world.acme.outcome(id).expect("an outcome"), Outcome::NotCommitted);
    assert_eq!(world.wait(world.acme.fence()).expect("an epoch"), 1);
    assert_eq!(world.do_ops([put(LOOSE, "new", "v")]), 1);
    assert_eq!(export(world, &world.acme), ["loose new v"]);
}

fn erased_alone(world: &World) {
    let other = world.of([put(LOOSE, "k", "globex")]);
    world.wait(world.globex.commit(other)).expect("a commit");
    world.do_ops([put(LOOSE, "k", "acme")]);
    world.wait(world.engine.erase(world.acme.homeserver())).expect("an erasure");
    assert_eq!(export(world, &world.globex), ["loose k globex"]);
    assert_eq!(world.globex.version().expect("a version"), 1);
}

fn erased_in_order(world: &World) {
    let before = world.acme.submit(world.of([put(LOOSE, "before", "v")]));
    let erasure = world.engine.erase(world.acme.homeserver());
    let absent = crate::Precondition::Absent(LOOSE, super::bytes("before"));
    let mut batch = world.of([put(LOOSE, "after", "v")]);
    batch.require(absent);
    let after = world.acme.submit(batch);
    world.wait(before).expect("a commit");
    world.wait(erasure).expect("an erasure");
    assert_eq!(world.wait(after).expect("a commit").version, 1);
    assert_eq!(world.keys(LOOSE), ["after"]);
}

fn raised(world: &World) {
    world.do_ops([]);
    let raise = world.engine.raise_version(world.acme.homeserver(), 70);
    assert_eq!(world.wait(raise).expect("a version").version, 70);
    assert_eq!(world.acme.version().expect("a version"), 70);
    assert_eq!(world.do_ops([]), 71);
}

fn not_lowered(world: &World) {
    world.do_ops([]);
    world.do_ops([]);
    let raise = world.engine.raise_version(world.acme.homeserver(), 1);
    assert_eq!(world.wait(raise).expect("a version").version, 2);
    assert_eq!(world.do_ops([]), 3);
}

fn tables(world: &World) {
    assert_eq!(world.engine.tables(), TABLES);
}

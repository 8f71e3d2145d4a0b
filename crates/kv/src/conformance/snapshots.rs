//! Snapshots: one state of everything, for as long as it is held.

use super::{Case, EVENTS, ROOMS, TABLES, World, delete, delete_range, keys, put, read};

pub(super) const CASES: &[Case] = &[
    Case { name: "a snapshot does not see later puts", run: later_puts },
    Case { name: "a snapshot does not see later deletes", run: later_deletes },
    Case { name: "a snapshot does not see a later range delete", run: later_range },
    Case { name: "a snapshot does not see a later erasure", run: later_erasure },
    Case { name: "snapshots of several times keep their times", run: several },
    Case { name: "a batch is in a snapshot whole or not at all", run: whole },
    Case { name: "a new snapshot sees what was acknowledged", run: read_your_writes },
    Case { name: "a dropped snapshot does not disturb an older one", run: dropped },
];

fn later_puts(world: &World) {
    for table in TABLES {
        world.do_ops([put(table, "k", "old")]);
        let snapshot = world.acme.snapshot();
        world.do_ops([put(table, "k", "new"), put(table, "l", "new")]);
        assert_eq!(read(&snapshot, table, "k").as_deref(), Some("old"));
        assert_eq!(keys(&snapshot, table), ["k"]);
        assert_eq!(world.get(table, "k").as_deref(), Some("new"));
    }
}

fn later_deletes(world: &World) {
    world.do_ops([put(ROOMS, "k", "v")]);
    let snapshot = world.acme.snapshot();
    world.do_ops([delete(ROOMS, "k")]);
    assert_eq!(read(&snapshot, ROOMS, "k").as_deref(), Some("v"));
    assert_eq!(keys(&snapshot, ROOMS), ["k"]);
    assert_eq!(world.keys(ROOMS), Vec::<String>::new());
}

fn later_range(world: &World) {
    world.do_ops(["a", "b", "c"].map(|key| put(EVENTS, key, "v")));
    let snapshot = world.acme.snapshot();
    world.do_ops([delete_range(EVENTS, "a", "c")]);
    assert_eq!(keys(&snapshot, EVENTS), ["a", "b", "c"]);
    assert_eq!(world.keys(EVENTS), ["c"]);
}

fn later_erasure(world: &World) {
    world.do_ops((0..100).map(|n| put(EVENTS, &n.to_string(), "v")));
    let snapshot = world.acme.snapshot();
    world.wait(world.engine.erase(world.acme.homeserver())).expect("an erasure");
    world.do_ops([put(EVENTS, "new", "v")]);
    assert_eq!(keys(&snapshot, EVENTS).len(), 100);
    assert_eq!(world.keys(EVENTS), ["new"]);
}

fn several(world: &World) {
    let snapshots: Vec<_> = (0..20)
        .map(|n: u32| {
            world.do_ops([put(ROOMS, "k", &n.to_string())]);
            (n, world.acme.snapshot())
        })
        .collect();
    for (n, snapshot) in snapshots.iter().rev() {
        assert_eq!(read(snapshot, ROOMS, "k"), Some(n.to_string()));
    }
}

fn whole(world: &World) {
    let pair = |n: u32| [put(ROOMS, "a", &n.to_string()), put(EVENTS, "b", &n.to_string())];
    world.do_ops(pair(0));
    let commits: Vec<_> = (1..=100).map(|n| world.acme.submit(world.of(pair(n)))).collect();
    loop {
        let snapshot = world.acme.snapshot();
        let a = read(&snapshot, ROOMS, "a");
        assert_eq!(a, read(&snapshot, EVENTS, "b"));
        if a.as_deref() == Some("100") {
            break;
        }
    }
    for commit in commits {
        world.wait(commit).expect("a commit");
    }
}

fn read_your_writes(world: &World) {
    for n in 0..50 {
        world.do_ops([put(ROOMS, "k", &n.to_string())]);
        assert_eq!(world.get(ROOMS, "k"), Some(n.to_string()));
    }
}

fn dropped(world: &World) {
    world.do_ops([put(ROOMS, "k", "1")]);
    let first = world.acme.snapshot();
    world.do_ops([put(ROOMS, "k", "2")]);
    let second = world.acme.snapshot();
    world.do_ops([delete(ROOMS, "k")]);
    drop(second);
    world.do_ops([put(ROOMS, "other", "v")]);
    assert_eq!(read(&first, ROOMS, "k").as_deref(), Some("1"));
    drop(first);
    world.do_ops([put(ROOMS, "other", "w")]);
    assert_eq!(world.get(ROOMS, "k"), None);
}

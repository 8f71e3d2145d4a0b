//! Snapshots: one state of everything, for as long as it is held.

use super::{Case, LOG, LOOSE, TABLES, World, delete, delete_range, keys, put, read};

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
    world.do_ops([put(LOOSE, "k", "v")]);
    let snapshot = world.acme.snapshot();
    world.do_ops([delete(LOOSE, "k")]);
    assert_eq!(read(&snapshot, LOOSE, "k").as_deref(), Some("v"));
    assert_eq!(keys(&snapshot, LOOSE), ["k"]);
    assert_eq!(world.keys(LOOSE), Vec::<String>::new());
}

fn later_range(world: &World) {
    world.do_ops(["a", "b", "c"].map(|key| put(LOG, key, "v")));
    let snapshot = world.acme.snapshot();
    world.do_ops([delete_range(LOG, "a", "c")]);
    assert_eq!(keys(&snapshot, LOG), ["a", "b", "c"]);
    assert_eq!(world.keys(LOG), ["c"]);
}

fn later_erasure(world: &World) {
    world.do_ops((0..100).map(|n| put(LOG, &n.to_string(), "v")));
    let snapshot = world.acme.snapshot();
    world.wait(world.engine.erase(world.acme.homeserver())).expect("an erasure");
    world.do_ops([put(LOG, "new", "v")]);
    assert_eq!(keys(&snapshot, LOG).len(), 100);
    assert_eq!(world.keys(LOG), ["new"]);
}

fn several(world: &World) {
    let snapshots: Vec<_> = (0..20)
        .map(|n: u32| {
            world.do_ops([put(LOOSE, "k", &n.to_string())]);
            (n, world.acme.snapshot())
        })
        .collect();
    for (n, snapshot) in snapshots.iter().rev() {
        assert_eq!(read(snapshot, LOOSE, "k"), Some(n.to_string()));
    }
}

fn whole(world: &World) {
    let pair = |n: u32| [put(LOOSE, "a", &n.to_string()), put(LOG, "b", &n.to_string())];
    world.do_ops(pair(0));
    let commits: Vec<_> = (1..=100).map(|n| world.acme.submit(world.of(pair(n)))).collect();
    loop {
        let snapshot = world.acme.snapshot();
        let a = read(&snapshot, LOOSE, "a");
        assert_eq!(a, read(&snapshot, LOG, "b"));
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
        world.do_ops([put(LOOSE, "k", &n.to_string())]);
        assert_eq!(world.get(LOOSE, "k"), Some(n.to_string()));
    }
}

fn dropped(world: &World) {
    world.do_ops([put(LOOSE, "k", "1")]);
    let first = world.acme.snapshot();
    world.do_ops([put(LOOSE, "k", "2")]);
    let second = world.acme.snapshot();
    world.do_ops([delete(LOOSE, "k")]);
    drop(second);
    world.do_ops([put(LOOSE, "other", "v")]);
    assert_eq!(read(&first, LOOSE, "k").as_deref(), Some("1"));
    drop(first);
    world.do_ops([put(LOOSE, "other", "w")]);
    assert_eq!(world.get(LOOSE, "k"), None);
}

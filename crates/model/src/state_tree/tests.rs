//! The laws of the tree: it equals a map, its shape depends on the entries alone, comparing and
//! changing cost no more than what differs.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap, HashSet},
};

use proptest::{collection::vec, prelude::*};

use super::*;

/// Nodes in memory, with a count of how many were read.
#[derive(Default)]
struct Memory {
    nodes: HashMap<NodeId, Bytes>,
    reads: Cell<usize>,
}

impl NodeReader for Memory {
    type Error = String;

    fn node(&self, id: &NodeId) -> Result<Bytes, String> {
        self.reads.set(self.reads.get() + 1);
        self.nodes.get(id).cloned().ok_or_else(|| format!("no node {id:?}"))
    }

    fn damaged(&self, id: &NodeId) -> String {
        format!("damaged node {id:?}")
    }
}

impl Memory {
    fn keep(&mut self, (root, nodes): (NodeId, Nodes)) -> NodeId {
        self.nodes.extend(nodes);
        root
    }

    fn reads(&self) -> usize {
        self.reads.take()
    }
}

const TREE: StateTree = StateTree { salt: *b"salt of a server" };

type Key = (String, String);
type Map = BTreeMap<Key, Entry>;

fn entry(number: u64) -> Entry {
    let membership = Membership::from_byte((number % 6) as u8);
    Entry { event: EventNumber(number), membership }
}

fn build(memory: &mut Memory, map: &Map) -> NodeId {
    let entries =
        map.iter().map(|((event_type, key), entry)| (event_type.clone(), key.clone(), *entry));
    memory.keep(TREE.build(entries))
}

fn read_back(memory: &Memory, root: NodeId) -> Map {
    let entries = TREE.entries(memory, root).map(|item| {
        let item = item.unwrap();
        ((item.event_type, item.state_key), item.entry)
    });
    entries.collect()
}

fn members(count: u64) -> Map {
    (0..count)
        .map(|n| (("m.room.member".to_owned(), format!("@user{n}:company.example")), entry(n)))
        .chain((0..10).map(|n| ((format!("m.room.type{n}"), String::new()), entry(count + n))))
        .collect()
}

/// Few types and keys, so that random changes hit the same places; enough to fill several levels.
fn key() -> impl Strategy<Value = Key> {
    (0..3_u8, 0..150_u16)
        .prop_map(|(event_type, key)| (format!("t{event_type}"), format!("k{key}")))
}

fn map() -> impl Strategy<Value = Map> {
    vec((key(), (1..1_000_u64).prop_map(entry)), 0..300).prop_map(Map::from_iter)
}

type ChangeList = Vec<(Key, Option<u64>)>;

fn changes() -> impl Strategy<Value = ChangeList> {
    vec((key(), prop_oneof![Just(None), (1..1_000_u64).prop_map(Some)]), 0..300)
}

fn applied(map: &Map, changes: &ChangeList) -> Map {
    let mut map = map.clone();
    for (key, number) in changes {
        match number {
            Some(number) => map.insert(key.clone(), entry(*number)),
            None => map.remove(key),
        };
    }
    map
}

fn as_arguments(changes: &[(Key, Option<u64>)]) -> Vec<(String, String, Option<Entry>)> {
    changes.iter().map(|((t, k), number)| (t.clone(), k.clone(), number.map(entry))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_says_what_a_map_says(map in map(), asked in key()) {
        let mut memory = Memory::default();
        let root = build(&mut memory, &map);
        prop_assert_eq!(&read_back(&memory, root), &map);
        prop_assert_eq!(TREE.get(&memory, root, &asked.0, &asked.1).unwrap(), map.get(&asked).copied());
        prop_assert_eq!(TREE.count(&memory, root).unwrap(), map.len());
        for (event_type, number) in [("t0", 500), ("t2", 0), ("t9", 1_000)] {
            let of_type: Vec<Item> =
                TREE.entries_of_type(&memory, root, event_type).collect::<Result<_, _>>().unwrap();
            prop_assert!(of_type.iter().all(|item| item.event_type == event_type));
            prop_assert_eq!(of_type.len(), map.keys().filter(|key| key.0 == event_type).count());
            let newer = TREE.entries_newer_than(&memory, root, EventNumber(number)).count();
            prop_assert_eq!(newer, map.values().filter(|entry| entry.event.0 > number).count());
        }
    }

    #[test]
    fn the_shape_depends_on_the_entries_alone(map in map(), changes in changes(), cut in 0..300_usize) {
        let mut memory = Memory::default();
        let expected = applied(&map, &changes);
        let built = build(&mut memory, &expected);
        let start = build(&mut memory, &map);
        // All at once, in two parts, and one by one.
        let at_once = TREE.apply(&memory, start, as_arguments(&changes)).unwrap();
        prop_assert_eq!(memory.keep(at_once), built);
        let (first, second) = changes.split_at(cut.min(changes.len()));
        let mut root = start;
        for part in [first, second] {
            let part = TREE.apply(&memory, root, as_arguments(part)).unwrap();
            root = memory.keep(part);
        }
        prop_assert_eq!(root, built);
        let mut root = start;
        for change in &changes {
            let one = TREE.apply(&memory, root, as_arguments(std::slice::from_ref(change))).unwrap();
            root = memory.keep(one);
        }
        prop_assert_eq!(root, built);
        prop_assert_eq!(read_back(&memory, built), expected);
    }

    #[test]
    fn the_difference_is_what_a_map_would_find(before in map(), changes in changes()) {
        let mut memory = Memory::default();
        let after = applied(&before, &changes);
        let (from, to) = (build(&mut memory, &before), build(&mut memory, &after));
        let found: BTreeMap<Key, (Option<Entry>, Option<Entry>)> = TREE
            .diff(&memory, from, to)
            .unwrap()
            .into_iter()
            .map(|d| ((d.event_type, d.state_key), (d.before, d.after)))
            .collect();
        let keys: HashSet<&Key> = before.keys().chain(after.keys()).collect();
        let expected = keys
            .into_iter()
            .map(|key| (key.clone(), (before.get(key).copied(), after.get(key).copied())))
            .filter(|(_, (before, after))| before != after)
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn the_nodes_given_out_are_exactly_the_new_ones(map in map(), changes in changes()) {
        let mut memory = Memory::default();
        let start = build(&mut memory, &map);
        let (root, nodes) = TREE.apply(&memory, start, as_arguments(&changes)).unwrap();
        let given: HashSet<NodeId> = nodes.iter().map(|(id, _)| *id).collect();
        let stored: HashSet<NodeId> = memory.nodes.keys().copied().collect();
        memory.keep((root, nodes));
        let mut reached = HashSet::new();
        TREE.reachable(&memory, [root], |id| reached.insert(*id)).unwrap();
        prop_assert!(given.is_subset(&reached));
        prop_assert!(reached.is_subset(&given.union(&stored).copied().collect()));
    }
}

#[test]
fn the_empty_state_has_no_nodes() {
    let memory = Memory::default();
    assert_eq!(TREE.build([]), (StateTree::EMPTY, Nodes::new()));
    assert_eq!(TREE.get(&memory, StateTree::EMPTY, "t", "k"), Ok(None));
    assert_eq!(TREE.count(&memory, StateTree::EMPTY), Ok(0));
    assert_eq!(TREE.entries(&memory, StateTree::EMPTY).count(), 0);
    let mut memory = Memory::default();
    let one = TREE.set(&memory, StateTree::EMPTY, "t", "k", entry(1)).unwrap();
    let root = memory.keep(one);
    let removed = TREE.apply(&memory, root, vec![("t".to_owned(), "k".to_owned(), None)]).unwrap();
    assert_eq!(removed.0, StateTree::EMPTY);
}

#[test]
fn a_change_among_100_000_members_is_small() {
    let mut memory = Memory::default();
    let map = members(100_000);
    let root = build(&mut memory, &map);
    memory.reads();
    let mut roots = vec![root];
    for n in [0, 1, 50_000, 99_999, 100_001] {
        let key = format!("@user{n}:company.example");
        let before = roots[roots.len() - 1];
        let (after, nodes) =
            TREE.set(&memory, before, "m.room.member", &key, entry(200_000 + n)).unwrap();
        let bytes: usize = nodes.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(nodes.len() < 10 && bytes < 8_000, "{} nodes, {bytes} bytes", nodes.len());
        assert!(memory.reads() < 10);
        roots.push(memory.keep((after, nodes)));
    }
    // Comparing costs what differs.
    let differences = TREE.diff(&memory, root, roots[5]).unwrap();
    assert_eq!(differences.len(), 5);
    assert!(memory.reads() < 60);
    assert_eq!(TREE.entries_newer_than(&memory, roots[5], EventNumber(199_999)).count(), 5);
    assert!(memory.reads() < 40);
    assert_eq!(TREE.entries_of_type(&memory, root, "m.room.type3").count(), 1);
    assert!(memory.reads() < 4);
    assert!(memory.nodes.values().all(|node| node.len() < 20_000));
}

#[test]
fn the_longest_names_fit_a_node() {
    let long = |n: u64| (format!("{n:0255}"), format!("{n:0255}"));
    let map: Map = (0..32).map(|n| (long(n), entry(u64::MAX - n))).collect();
    let mut memory = Memory::default();
    let root = build(&mut memory, &map);
    assert_eq!(memory.nodes.len(), 1);
    assert!(memory.nodes[&root].len() < 20_000);
    assert_eq!(read_back(&memory, root), map);
}

#[test]
fn another_salt_gives_other_ids() {
    let entries = || [("t".to_owned(), "k".to_owned(), entry(1))];
    assert_ne!(TREE.build(entries()).0, StateTree::new([0; 16]).build(entries()).0);
}

#[test]
fn a_damaged_node_is_an_error_and_no_panic() {
    let mut memory = Memory::default();
    let root = build(&mut memory, &members(100));
    let node = memory.nodes[&root].clone();
    for length in 0..node.len() {
        memory.nodes.insert(root, node.slice(..length));
        for (event_type, key) in [("m.room.member", "@user7:company.example"), ("x", "")] {
            let _error_or_nothing = TREE.get(&memory, root, event_type, key);
        }
        let cut = TREE.entries(&memory, root).collect::<Result<Vec<_>, _>>();
        assert!(cut.is_err(), "a node cut after {length} bytes was read");
    }
}

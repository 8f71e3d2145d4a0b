//! Resolving over what differs gives what resolving over everything gives, in any order, on rooms
//! that random users wrote.

use std::fmt::Debug;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};

use super::*;
use crate::build::{self, tests::Author};

const TREE: StateTree = StateTree::new([9; 16]);

/// A room in memory. An event's number is its place in `events` plus [`FIRST`].
struct World {
    version: RoomVersion,
    users: Vec<Author>,
    events: Vec<RoomEvent>,
    nodes: HashMap<NodeId, Bytes>,
    reads: Cell<usize>,
}

const FIRST: u64 = 100_000;

impl NodeReader for World {
    type Error = String;

    fn node(&self, id: &NodeId) -> Result<Bytes, String> {
        self.reads.set(self.reads.get() + 1);
        self.nodes.get(id).cloned().ok_or_else(|| "no such node".to_owned())
    }

    fn damaged(&self, _: &NodeId) -> String {
        "damaged node".to_owned()
    }
}

impl RoomEvents for World {
    fn room_event(&self, number: EventNumber) -> Result<RoomEvent, String> {
        self.reads.set(self.reads.get() + 1);
        let index = number.0.checked_sub(FIRST).ok_or("an event that nobody should read")?;
        self.events.get(index as usize).cloned().ok_or_else(|| "no such event".to_owned())
    }
}

/// One end of the room's graph.
#[derive(Clone, Copy)]
struct End {
    state: NodeId,
    last: Option<EventNumber>,
}

/// What a user tries to do.
#[derive(Clone, Debug)]
struct Deed {
    user: usize,
    target: usize,
    kind: u8,
    ts: u64,
}

impl World {
    /// A public room with its creator.
    fn new(version: RoomVersion) -> (Self, End) {
        let users = ["alice", "bob", "carol", "dave"].map(Author::new).into();
        let mut world =
            Self { version, users, events: vec![], nodes: HashMap::new(), reads: Cell::new(0) };
        let mut end = End { state: StateTree::EMPTY, last: None };
        let id = world.users[0].user.to_string();
        let levels = match version {
            RoomVersion::V12 => json!({"users": {}, "invite": 0, "kick": 50, "ban": 50}),
            _ => json!({"users": { &id: 100 }, "invite": 0, "kick": 50, "ban": 50}),
        };
        for (event_type, key, content) in [
            ("m.room.create", "", json!({"creator": id, "room_version": version})),
            ("m.room.member", id.as_str(), json!({"membership": "join"})),
            ("m.room.power_levels", "", levels),
            ("m.room.join_rules", "", json!({"join_rule": "public"})),
        ] {
            end = world.send(end, 0, (event_type, key), content, 1_000).unwrap();
        }
        (world, end)
    }

    /// Sends a state event at one end of the room; `None` if the rules forbid it.
    fn send(
        &mut self,
        end: End,
        user: usize,
        (event_type, key): (&str, &str),
        content: Value,
        ts: u64,
    ) -> Option<End> {
        let author = &self.users[user];
        let mut template = author.template(event_type, content);
        template.state_key = Some(key.to_owned());
        template.origin_server_ts = ts;
        if self.version.room_id_is_create_hash() {
            template.room_id = self.events.first().map(|create| create.pdu.room_id.clone());
        }
        let state = |event_type: &str, key: &str| {
            let entry = TREE.get(self, end.state, event_type, key).unwrap()?;
            Some(self.room_event(entry.event).unwrap())
        };
        let mut auth: Vec<RoomEvent> = event_auth::auth_types(&template, self.version)
            .ok()?
            .iter()
            .filter_map(|(event_type, key)| state(event_type, key))
            .collect();
        let with_create: Vec<Arc<Pdu>> = auth.iter().map(|event| Arc::clone(&event.pdu)).collect();
        if self.version.room_id_is_create_hash() {
            auth.retain(|event| !event.pdu.is_at("m.room.create", ""));
        }
        let prev = end.last.map(|last| self.room_event(last).unwrap().pdu.event_id.clone());
        let place = build::Place {
            prev_events: prev.into_iter().collect(),
            auth_events: auth.iter().map(|event| event.pdu.event_id.clone()).collect(),
            depth: 1,
        };
        let pdu = author.sign(&template, &place, self.version).unwrap();
        event_auth::check_against_auth_events(&pdu, &with_create).ok()?;
        event_auth::check_against_state(&pdu, |event_type, key| {
            state(event_type, key).map(|event| event.pdu)
        })
        .ok()?;
        // The same deed on two forks can be one and the same event.
        let known = self.events.iter().find(|event| event.pdu.event_id == pdu.event_id);
        let next = EventNumber(FIRST + self.events.len() as u64);
        let number = known.map_or(next, |event| event.number);
        let entry = Entry::of(number, &pdu);
        if number == next {
            let auth = auth.iter().map(|event| event.number).collect();
            self.events.push(RoomEvent { number, pdu: Arc::new(pdu), auth });
        }
        let (state, nodes) = TREE.set(self, end.state, event_type, key, entry).unwrap();
        self.nodes.extend(nodes);
        Some(End { state, last: Some(number) })
    }

    fn attempt(&mut self, end: End, deed: &Deed) -> End {
        let user = deed.user % self.users.len();
        let me = self.users[user].user.to_string();
        let them = self.users[deed.target % self.users.len()].user.to_string();
        let member = |key: &str, membership: &str| {
            ("m.room.member", key.to_owned(), json!({ "membership": membership }))
        };
        let (event_type, key, content) = match deed.kind {
            0 | 1 => member(&me, "join"),
            2 => member(&me, "leave"),
            3 => member(&them, "leave"),
            4 => member(&them, "ban"),
            5 => member(&them, "invite"),
            6 => ("m.room.join_rules", String::new(), json!({"join_rule": "invite"})),
            7 => ("m.room.join_rules", String::new(), json!({"join_rule": "public"})),
            8 => ("m.room.topic", String::new(), json!({"topic": deed.ts})),
            9 => ("org.example.note", me, json!({"note": deed.ts})),
            kind => ("m.room.power_levels", String::new(), self.levels(end, &them, kind)),
        };
        self.send(end, user, (event_type, &key), content, deed.ts).unwrap_or(end)
    }

    /// The present power levels with one user's changed.
    fn levels(&self, end: End, user: &str, kind: u8) -> Value {
        let entry = TREE.get(self, end.state, "m.room.power_levels", "").unwrap().unwrap();
        let levels = self.room_event(entry.event).unwrap().pdu;
        let mut content: Value = serde_json::from_str(levels.content().get()).unwrap();
        content["users"][user] = json!(if kind.is_multiple_of(2) { 100 } else { 0 });
        content["events"]["org.example.note"] = json!(kind % 3 * 25);
        content
    }

    fn resolve(&mut self, roots: &[NodeId]) -> NodeId {
        let resolved = resolve(self.version, &TREE, roots, self).unwrap();
        self.nodes.extend(resolved.nodes);
        resolved.root
    }

    /// The same over all entries of all states, with all their auth chains.
    fn resolve_in_full(&self, roots: &[NodeId]) -> NodeId {
        let pdu = |number: EventNumber| self.room_event(number).unwrap().pdu;
        let states: Vec<Vec<EventNumber>> = roots
            .iter()
            .map(|root| TREE.entries(self, *root).map(|item| item.unwrap().entry.event).collect())
            .collect();
        let maps: Vec<StateMap<OwnedEventId>> = states
            .iter()
            .map(|state| {
                let entry = |number: &EventNumber| {
                    let pdu = pdu(*number);
                    let kind = StateEventType::from(pdu.kind.to_string());
                    ((kind, pdu.state_key.as_deref().unwrap().to_owned()), pdu.event_id.clone())
                };
                state.iter().map(entry).collect()
            })
            .collect();
        let ids = |numbers: &BTreeSet<EventNumber>| {
            let mut ids = EventIdSet::new();
            for number in numbers {
                ids.insert(pdu(*number).event_id.clone());
            }
            ids
        };
        let chains = states
            .iter()
            .map(|state| ids(&state.iter().flat_map(|event| self.reachable(*event)).collect()));
        let by_id: HashMap<OwnedEventId, EventNumber> =
            self.events.iter().map(|event| (event.pdu.event_id.clone(), event.number)).collect();
        let rules = self.version.rules();
        let resolved = state_res::resolve(
            &rules.authorization,
            rules.state_res.v2_rules().unwrap(),
            &maps,
            chains.collect(),
            |id| by_id.get(id).map(|number| pdu(*number)),
            |conflicted| {
                let conflicted: BTreeSet<EventNumber> =
                    conflicted.values().flatten().map(|id| by_id[id]).collect();
                Some(ids(&self.paths_between(&conflicted)))
            },
        )
        .unwrap();
        let entries = resolved.into_values().map(|id| {
            let pdu = pdu(by_id[&id]);
            let (event_type, key) = pdu.type_and_key().unwrap();
            (event_type.to_owned(), key.to_owned(), Entry::of(by_id[&id], &pdu))
        });
        TREE.build(entries).0
    }

    /// An event and its auth chain.
    fn reachable(&self, event: EventNumber) -> BTreeSet<EventNumber> {
        let mut found = BTreeSet::from([event]);
        for auth in self.room_event(event).unwrap().auth {
            found.append(&mut self.reachable(auth));
        }
        found
    }

    fn paths_between(&self, ends: &BTreeSet<EventNumber>) -> BTreeSet<EventNumber> {
        let reached: BTreeSet<EventNumber> =
            ends.iter().flat_map(|event| self.reachable(*event)).collect();
        let reaches_an_end = |event: &EventNumber| !self.reachable(*event).is_disjoint(ends);
        reached.into_iter().filter(reaches_an_end).collect()
    }
}

fn deeds(most: usize) -> impl Strategy<Value = Vec<Deed>> {
    let deed = (0..4_usize, 0..4_usize, 0..14_u8, 1_000..1_006_u64)
        .prop_map(|(user, target, kind, ts)| Deed { user, target, kind, ts });
    vec(deed, 0..most)
}

/// Forks: where each starts among the ends that are there, a second end that it may merge, and what
/// is done on it.
fn forks() -> impl Strategy<Value = Vec<(Index, Option<Index>, Vec<Deed>)>> {
    vec((any::<Index>(), proptest::option::weighted(0.3, any::<Index>()), deeds(8)), 1..6)
}

fn grown(
    version: RoomVersion,
    base: &[Deed],
    forks: &[(Index, Option<Index>, Vec<Deed>)],
) -> (World, Vec<NodeId>) {
    let (mut world, mut start) = World::new(version);
    for deed in base {
        start = world.attempt(start, deed);
    }
    let mut ends = vec![start];
    for (from, merged, deeds) in forks {
        let mut end = ends[from.index(ends.len())];
        if let Some(other) = merged {
            let other = ends[other.index(ends.len())];
            end.state = world.resolve(&[end.state, other.state]);
        }
        for deed in deeds {
            end = world.attempt(end, deed);
        }
        ends.push(end);
    }
    (world, ends.into_iter().map(|end| end.state).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn resolving_what_differs_is_resolving_everything(
        base in deeds(8),
        forks in forks(),
        version in prop_oneof![Just(RoomVersion::V6), Just(RoomVersion::V11), Just(RoomVersion::V12)],
    ) {
        let (mut world, roots) = grown(version, &base, &forks);
        let in_full = world.resolve_in_full(&roots);
        prop_assert_eq!(world.resolve(&roots), in_full);
        for pair in roots.windows(2) {
            let in_full = world.resolve_in_full(pair);
            prop_assert_eq!(world.resolve(pair), in_full);
        }
    }

    #[test]
    fn the_order_of_the_states_does_not_matter(
        base in deeds(8),
        forks in forks(),
        version in prop_oneof![Just(RoomVersion::V11), Just(RoomVersion::V12)],
        turn in any::<Index>(),
    ) {
        let (mut world, mut roots) = grown(version, &base, &forks);
        let resolved = world.resolve(&roots);
        let turn = turn.index(roots.len());
        roots.rotate_left(turn);
        prop_assert_eq!(world.resolve(&roots), resolved);
        roots.reverse();
        prop_assert_eq!(world.resolve(&roots), resolved);
        // A state that is there twice says nothing new.
        roots.push(roots[0]);
        prop_assert_eq!(world.resolve(&roots), resolved);
    }
}

fn deed(user: usize, target: usize, kind: u8, ts: u64) -> Deed {
    Deed { user, target, kind, ts }
}

fn holds<T: Debug + PartialEq>(found: T, expected: T) {
    assert_eq!(found, expected);
}

#[test]
fn a_ban_wins_over_what_the_banned_user_did_meanwhile() {
    for version in [RoomVersion::V6, RoomVersion::V11, RoomVersion::V12] {
        let (mut world, start) = World::new(version);
        let joined = world.attempt(start, &deed(1, 1, 0, 1_001));
        let note = world.attempt(joined, &deed(1, 1, 9, 1_002));
        let banned = world.attempt(joined, &deed(0, 1, 4, 1_003));
        let state = world.resolve(&[note.state, banned.state]);
        let bob = world.users[1].user.to_string();
        let member = TREE.get(&world, state, "m.room.member", &bob).unwrap().unwrap();
        holds(member.membership, Some(crate::membership::Membership::Ban));
        holds(TREE.get(&world, state, "org.example.note", &bob).unwrap(), None);
    }
}

#[test]
fn who_came_by_invitation_stays_where_there_are_no_join_rules() {
    for version in [RoomVersion::V6, RoomVersion::V11, RoomVersion::V12] {
        let (mut world, mut start) = World::new(version);
        let rules = ("m.room.join_rules".to_owned(), String::new(), None);
        let (state, nodes) = TREE.apply(&world, start.state, vec![rules]).unwrap();
        world.nodes.extend(nodes);
        start.state = state;
        let invited = world.attempt(start, &deed(0, 1, 5, 1_001));
        let joined = world.attempt(invited, &deed(1, 1, 0, 1_002));
        let topic = world.attempt(invited, &deed(0, 0, 8, 1_003));
        let state = world.resolve(&[joined.state, topic.state]);
        let bob = world.users[1].user.to_string();
        let member = TREE.get(&world, state, "m.room.member", &bob).unwrap().unwrap();
        holds(member.membership, Some(crate::membership::Membership::Join));
    }
}

#[test]
fn a_rejected_event_never_enters_the_state() {
    for version in [RoomVersion::V11, RoomVersion::V12] {
        let (mut world, start) = World::new(version);
        let one = world.attempt(start, &deed(0, 0, 8, 1_001));
        let other = world.attempt(start, &deed(0, 0, 8, 1_002));
        let newer = other.last.unwrap();
        let event = &mut world.events[(newer.0 - FIRST) as usize];
        event.pdu = Arc::new(Pdu::clone(&event.pdu).with_rejected(true));
        let state = world.resolve(&[one.state, other.state]);
        let topic = TREE.get(&world, state, "m.room.topic", "").unwrap().unwrap();
        holds(Some(topic.event), one.last);
    }
}

#[test]
fn resolving_costs_what_the_states_differ_in() {
    for version in [RoomVersion::V11, RoomVersion::V12] {
        let (mut world, mut start) = World::new(version);
        // Members whose events cannot be read at all: nobody may look at them.
        let members = (0..50_000).map(|n| {
            let entry = Entry { event: EventNumber(n), membership: None };
            ("m.room.member".to_owned(), format!("@user{n}:company.example"), Some(entry))
        });
        let (state, nodes) = TREE.apply(&world, start.state, members.collect()).unwrap();
        world.nodes.extend(nodes);
        start.state = state;
        let one = world.attempt(start, &deed(0, 0, 8, 1_001));
        let other = world.attempt(start, &deed(0, 1, 10, 1_002));
        world.reads.set(0);
        world.resolve(&[one.state, other.state]);
        let reads = world.reads.get();
        assert!(reads < 150, "{reads} rows were read");
    }
}

#[test]
fn states_that_do_not_differ_resolve_to_themselves() {
    let (mut world, start) = World::new(RoomVersion::V12);
    assert_eq!(world.resolve(&[start.state]), start.state);
    assert_eq!(world.resolve(&[start.state, start.state]), start.state);
    assert_eq!(world.resolve(&[]), StateTree::EMPTY);
}

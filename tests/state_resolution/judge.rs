//! What Kontor makes of a room: `model`'s rules and state resolution over events in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use model::{
    EventNumber,
    event_auth::{self, AuthError},
    pdu::Pdu,
    room_version::RoomVersion,
    state_res::{self, RoomEvent, RoomEvents},
    state_tree::{Entry, NodeId, NodeReader, Nodes, StateTree},
};
use ruma::OwnedEventId;

use crate::history::History;

/// The state trees of all rooms.
pub const TREE: StateTree = StateTree::new([7; 16]);

/// What cannot fail here.
const WHOLE: &str = "a tree is whole";
pub const RESOLVABLE: &str = "small states of stored events can be resolved";

/// A state, by the ids of its events.
pub type State = BTreeMap<(String, String), OwnedEventId>;

/// Everything that a homeserver decides about a room.
#[derive(Debug, PartialEq)]
pub struct Judgement {
    /// What is rejected, and why, in the homeserver's words.
    pub rejected: BTreeMap<OwnedEventId, String>,
    /// The state before each event that merges forks.
    pub merges: BTreeMap<OwnedEventId, State>,
    /// The state of each meeting.
    pub meetings: Vec<State>,
}

/// How states are resolved: Kontor's way, or one that a test must catch.
pub type Resolver = fn(&Room, &[NodeId]) -> (NodeId, Nodes);

/// A room in memory. An event's number is its place in `events`.
pub struct Room {
    pub version: RoomVersion,
    resolver: Resolver,
    events: Vec<RoomEvent>,
    numbers: HashMap<OwnedEventId, EventNumber>,
    /// The state after each event.
    after: Vec<NodeId>,
    nodes: HashMap<NodeId, Bytes>,
    merges: BTreeMap<OwnedEventId, State>,
    rejected: BTreeMap<OwnedEventId, String>,
}

impl NodeReader for Room {
    type Error = String;

    fn node(&self, id: &NodeId) -> Result<Bytes, String> {
        self.nodes.get(id).cloned().ok_or_else(|| "no such node".to_owned())
    }

    fn damaged(&self, _: &NodeId) -> String {
        "damaged node".to_owned()
    }
}

impl RoomEvents for Room {
    fn room_event(&self, number: EventNumber) -> Result<RoomEvent, String> {
        self.events.get(number.0 as usize).cloned().ok_or_else(|| "no such event".to_owned())
    }
}

/// Judges a room as Kontor does, or would with another resolver.
pub fn judge(history: &History, resolver: Resolver) -> Judgement {
    let mut room = Room::new(history.version, resolver);
    for pdu in &history.events {
        room.take(pdu);
    }
    let meetings = history.meetings.iter();
    let meetings = meetings.map(|ends| {
        let root = room.resolve(ends);
        room.state(root)
    });
    Judgement { meetings: meetings.collect(), rejected: room.rejected, merges: room.merges }
}

/// Kontor's own resolver.
pub fn kontor(room: &Room, roots: &[NodeId]) -> (NodeId, Nodes) {
    let resolved = state_res::resolve(room.version, &TREE, roots, room).expect(RESOLVABLE);
    (resolved.root, resolved.nodes)
}

impl Room {
    pub fn new(version: RoomVersion, resolver: Resolver) -> Self {
        Self {
            version,
            resolver,
            events: vec![],
            numbers: HashMap::new(),
            after: vec![],
            nodes: HashMap::new(),
            merges: BTreeMap::new(),
            rejected: BTreeMap::new(),
        }
    }

    /// Takes the next event of the room, and says whether it was accepted.
    pub fn take(&mut self, pdu: &Pdu) -> bool {
        let before = self.state_before(&pdu.prev_events);
        if pdu.prev_events.len() > 1 {
            self.merges.insert(pdu.event_id.clone(), self.state(before));
        }
        let reason = self.check(pdu, before).err().map(|error| error.to_string());
        let rejected = reason.is_some();
        self.rejected.extend(reason.map(|reason| (pdu.event_id.clone(), reason)));
        let number = EventNumber(self.events.len() as u64);
        let auth = pdu.auth_events.iter().map(|id| self.numbers[id]).collect();
        let pdu = Arc::new(pdu.clone().with_rejected(rejected));
        let after = match pdu.type_and_key() {
            Some((event_type, key)) if !rejected => {
                let entry = Entry::of(number, &pdu);
                let (root, nodes) = TREE.set(self, before, event_type, key, entry).expect(WHOLE);
                self.nodes.extend(nodes);
                root
            }
            _ => before,
        };
        self.numbers.insert(pdu.event_id.clone(), number);
        self.events.push(RoomEvent { number, pdu, auth });
        self.after.push(after);
        !rejected
    }

    /// The state that an event finds that follows these.
    pub fn state_before(&mut self, prev_events: &[OwnedEventId]) -> NodeId {
        match prev_events {
            [] => StateTree::EMPTY,
            [only] => self.after(only),
            several => self.resolve(several),
        }
    }

    /// The state in which the states after these events meet.
    pub fn resolve(&mut self, events: &[OwnedEventId]) -> NodeId {
        let roots: Vec<NodeId> = events.iter().map(|id| self.after(id)).collect();
        let (root, nodes) = (self.resolver)(self, &roots);
        self.nodes.extend(nodes);
        root
    }

    pub fn after(&self, event: &OwnedEventId) -> NodeId {
        self.after[self.numbers[event].0 as usize]
    }

    /// The checks on receipt of a PDU that say whether it is rejected.
    pub fn check(&self, pdu: &Pdu, before: NodeId) -> Result<(), AuthError> {
        let mut auth: Vec<Arc<Pdu>> = pdu.auth_events.iter().map(|id| self.event(id)).collect();
        if self.version.room_id_is_create_hash() && !pdu.is_at("m.room.create", "") {
            auth.extend(self.events.first().map(|create| Arc::clone(&create.pdu)));
        }
        let by_state = |event_type: &str, key: &str| self.at(before, event_type, key);
        event_auth::check_against_auth_events(pdu, &auth)?;
        event_auth::check_against_state(pdu, by_state)
    }

    pub fn knows(&self, event: &OwnedEventId) -> bool {
        self.numbers.contains_key(event)
    }

    pub fn event(&self, event: &OwnedEventId) -> Arc<Pdu> {
        Arc::clone(&self.events[self.numbers[event].0 as usize].pdu)
    }

    /// What a state holds at one place.
    pub fn at(&self, root: NodeId, event_type: &str, key: &str) -> Option<Arc<Pdu>> {
        let entry = TREE.get(self, root, event_type, key).expect(WHOLE)?;
        Some(Arc::clone(&self.events[entry.event.0 as usize].pdu))
    }

    pub fn state(&self, root: NodeId) -> State {
        let items = TREE.entries(self, root).map(|item| item.expect(WHOLE));
        items
            .map(|item| {
                let id = self.events[item.entry.event.0 as usize].pdu.event_id.clone();
                ((item.event_type, item.state_key), id)
            })
            .collect()
    }

    /// The root of a state that is told by its events.
    pub fn build(&self, state: &State) -> (NodeId, Nodes) {
        let entries = state.iter().map(|((event_type, key), id)| {
            let number = self.numbers[id];
            let entry = Entry::of(number, &self.event(id));
            (event_type.clone(), key.clone(), entry)
        });
        TREE.build(entries)
    }
}

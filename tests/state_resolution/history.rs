//! A random room: from a seed its events, in an order in which a server could have received them.
//!
//! People write at the ends of the room, at older events, and where ends meet. What they write is
//! mostly allowed where they write it; some of it is not, or cites auth events that are stale, missing
//! or not wanted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};

use model::{
    build::{self, EventTemplate, Place},
    event_auth,
    pdu::Pdu,
    room_version::RoomVersion,
    signing_key::SigningKey,
    state_tree::{NodeId, StateTree},
};
use rand::{
    RngExt, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};
use ruma::{OwnedEventId, OwnedRoomId, UserId, owned_room_id};
use serde_json::value::to_raw_value;

use crate::{
    deeds::{self, Deed},
    judge::{Room, kontor},
};

/// How often people try until somebody does something allowed.
const TRIES: usize = 6;
/// Forks start at one of so many newest events.
const FORKS_FROM: usize = 16;
/// When the first event was sent. Later ones have times close to each other, so that many are equal.
const START: u64 = 1_700_000_000_000;

/// A room.
pub struct History {
    pub version: RoomVersion,
    seed: u64,
    /// An event's auth events and the events before it come earlier.
    pub events: Vec<Arc<Pdu>>,
    /// Events whose states meet: the room's ends at the last, and some at random.
    pub meetings: Vec<Vec<OwnedEventId>>,
}

impl History {
    /// The room of this seed.
    pub fn of(version: RoomVersion, seed: u64) -> Self {
        let mut writer = Writer::new(version, seed);
        writer.found();
        // One room in ten is a long one.
        let steps = match seed.is_multiple_of(10) {
            true => writer.rng.random_range(100..160),
            false => writer.rng.random_range(10..50),
        };
        for _ in 0..steps {
            writer.step();
        }
        writer.end()
    }

    pub fn name(&self) -> String {
        format!("KONTOR_SEED={}, version {}", self.seed, self.version)
    }

    /// The same room, its events in another possible order.
    pub fn reordered(&self, rng: &mut StdRng) -> Self {
        let mut left = self.events.clone();
        left.shuffle(rng);
        let (mut events, mut known) = (Vec::new(), BTreeSet::new());
        while !left.is_empty() {
            let ready = |pdu: &Arc<Pdu>| {
                pdu.prev_events.iter().chain(&pdu.auth_events).all(|id| known.contains(id))
            };
            let next = left.iter().position(ready).expect("events have no cycles");
            let pdu = left.swap_remove(next);
            known.insert(pdu.event_id.clone());
            events.push(pdu);
        }
        Self { events, meetings: self.meetings.clone(), ..*self }
    }

    /// Every event in a line, for people.
    pub fn story(&self, rejected: &BTreeMap<OwnedEventId, String>) -> String {
        let mut story = String::new();
        let short = |id: &OwnedEventId| id.as_str()[..6].to_owned();
        let several = |ids: &[OwnedEventId]| ids.iter().map(short).collect::<Vec<_>>().join(" ");
        for pdu in &self.events {
            let mark = if rejected.contains_key(&pdu.event_id) { " REJECTED" } else { "" };
            let _ = writeln!(
                story,
                "{}{mark} at {} after [{}] by [{}]: {} {} {:?} {}",
                pdu.event_id,
                pdu.origin_server_ts - START,
                several(&pdu.prev_events),
                several(&pdu.auth_events),
                pdu.sender,
                pdu.event_type,
                pdu.state_key,
                pdu.content(),
            );
        }
        for (index, meeting) in self.meetings.iter().enumerate() {
            let _ = writeln!(story, "meeting {index}: [{}]", several(meeting));
        }
        story
    }
}

/// A room while it is written.
struct Writer {
    version: RoomVersion,
    seed: u64,
    rng: StdRng,
    room: Room,
    room_id: Option<OwnedRoomId>,
    events: Vec<Arc<Pdu>>,
    /// The ends of the graph.
    ends: Vec<OwnedEventId>,
}

impl Writer {
    fn new(version: RoomVersion, seed: u64) -> Self {
        Self {
            version,
            seed,
            rng: StdRng::seed_from_u64(seed ^ (u64::from(version.to_byte()) << 56)),
            room: Room::new(version, kontor),
            // Since version 12 the create event's hash, before it a name that its server chose.
            room_id: (!version.room_id_is_create_hash())
                .then(|| owned_room_id!("!room:one.example")),
            events: vec![],
            ends: vec![],
        }
    }

    /// The first events, one after the other.
    fn found(&mut self) {
        for deed in deeds::foundation(&mut self.rng, self.version) {
            let prev_events = self.ends.clone();
            let before = self.room.state_before(&prev_events);
            let pdu = self.write(deed, prev_events, before);
            self.take(pdu);
        }
    }

    fn step(&mut self) {
        let prev_events = self.place();
        let before = self.room.state_before(&prev_events);
        for _ in 0..TRIES {
            let deed = deeds::random(&mut self.rng, &self.room, before);
            let pdu = self.write(deed, prev_events.clone(), before);
            let allowed = self.room.check(&pdu, before).is_ok();
            // The same deed at the same place at the same time is the same event.
            if !self.room.knows(&pdu.event_id) && (allowed || self.rng.random_bool(0.1)) {
                self.take(pdu);
                return;
            }
        }
    }

    /// What the next event follows.
    fn place(&mut self) -> Vec<OwnedEventId> {
        match self.rng.random_range(0..100) {
            0..50 => vec![self.ends.choose(&mut self.rng).expect("a room has an end").clone()],
            50..80 => {
                let newest = &self.events[self.events.len().saturating_sub(FORKS_FROM)..];
                vec![newest.choose(&mut self.rng).expect("a room has events").event_id.clone()]
            }
            _ => {
                let most = self.rng.random_range(2..5);
                self.ends.sample(&mut self.rng, most).cloned().collect()
            }
        }
    }

    fn write(&mut self, deed: Deed, prev_events: Vec<OwnedEventId>, before: NodeId) -> Arc<Pdu> {
        let template = EventTemplate {
            room_id: self.room_id.clone(),
            sender: deed.sender,
            event_type: deed.event_type.to_owned(),
            state_key: deed.state_key,
            content: to_raw_value(&deed.content).expect("JSON"),
            redacts: None,
            origin_server_ts: START + self.events.len() as u64 / 4 + self.rng.random_range(0..5),
        };
        let (server, key) = (template.sender.server_name(), key_of(&template.sender));
        let version = self.version;
        let sign = |place: &Place| {
            let pdu = build::build_and_sign(&template, place, version, server, &key);
            pdu.expect("deeds are events")
        };
        let depths = prev_events.iter().map(|id| self.room.event(id).depth);
        let depth = depths.max().unwrap_or(0) + 1;
        let mut place = Place { prev_events, depth, ..Place::default() };
        // What decides about an event that exists: it may be one that we would not write.
        place.auth_events = self.auth_events(&sign(&place), before);
        Arc::new(sign(&place))
    }

    /// The auth events as they should be, and in some events as they should not.
    fn auth_events(&mut self, pdu: &Pdu, before: NodeId) -> Vec<OwnedEventId> {
        let mut places = event_auth::auth_types_of(pdu).expect("readable content");
        if self.version.room_id_is_create_hash() || pdu.is_at("m.room.create", "") {
            places.retain(|(event_type, _)| event_type != "m.room.create");
        }
        let state = places.iter().filter_map(|(kind, key)| self.room.at(before, kind, key));
        let mut ids: Vec<OwnedEventId> = state.map(|pdu| pdu.event_id.clone()).collect();
        if before == StateTree::EMPTY || !self.rng.random_bool(0.15) {
            return ids;
        }
        let index = self.rng.random_range(0..ids.len().max(1));
        match self.rng.random_range(0..10) {
            // Another event of the same place: one that was replaced, or of another fork.
            0..7 if !ids.is_empty() => {
                let cited = self.room.event(&ids[index]);
                let same_place: Vec<&Arc<Pdu>> = self
                    .events
                    .iter()
                    .filter(|pdu| pdu.type_and_key() == cited.type_and_key())
                    .collect();
                if let Some(other) = same_place.choose(&mut self.rng) {
                    ids[index] = other.event_id.clone();
                }
            }
            7 if !ids.is_empty() => drop(ids.remove(index)),
            // Any state event: most have no business there. (At a message Synapse would give up.)
            _ => {
                let can_be_cited =
                    |pdu: &&Arc<Pdu>| pdu.is_state() && !pdu.is_at("m.room.create", "");
                let any: Vec<&Arc<Pdu>> = self.events.iter().filter(can_be_cited).collect();
                ids.extend(any.choose(&mut self.rng).map(|pdu| pdu.event_id.clone()));
            }
        }
        ids
    }

    fn take(&mut self, pdu: Arc<Pdu>) {
        let accepted = self.room.take(&pdu);
        self.room_id.get_or_insert_with(|| pdu.room_id.clone());
        // Only some servers would follow a rejected event, but it can be followed.
        if accepted || self.rng.random_bool(0.3) {
            self.ends.retain(|end| !pdu.prev_events.contains(end));
            self.ends.push(pdu.event_id.clone());
        }
        self.events.push(pdu);
    }

    fn end(mut self) -> History {
        let mut meetings = vec![self.ends.clone()];
        for _ in 0..4 {
            let count = self.rng.random_range(2..6);
            let events = self.events.sample(&mut self.rng, count);
            meetings.push(events.map(|pdu| pdu.event_id.clone()).collect());
        }
        History { version: self.version, seed: self.seed, events: self.events, meetings }
    }
}

/// The key of a user's server, which follows from its name.
fn key_of(user: &UserId) -> SigningKey {
    let mut seed = [0; 32];
    let name = user.server_name().as_bytes();
    seed[..name.len()].copy_from_slice(name);
    SigningKey::generate(seed).expect("a key version")
}

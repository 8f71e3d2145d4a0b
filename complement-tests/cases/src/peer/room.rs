//! A room as a peer has it: a graph of events, and the state after each.

use super::signing::{Key, now_ms};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Type and state key → event id.
pub type State = BTreeMap<(String, String), String>;

/// A signed event and its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub pdu: Value,
}

/// A room.
#[derive(Clone, Debug)]
pub struct Room {
    pub id: String,
    pub version: String,
    /// All events, parents first.
    pub events: Vec<Event>,
    /// The current state.
    pub state: State,
    /// What the next event will follow.
    pub tips: Vec<String>,
    /// State after each event.
    after: BTreeMap<String, State>,
    depth: u64,
}

impl Room {
    /// Creation, creator, power levels, rule of joining, history for everybody who is in.
    pub(super) fn create(version: &str, creator: &str, key: &Key, join_rules: Value) -> Self {
        let mut room = Self {
            id: format!("!{}:{}", now_ms(), key.server),
            version: version.into(),
            events: Vec::new(),
            state: State::new(),
            tips: Vec::new(),
            after: BTreeMap::new(),
            depth: 0,
        };
        let mut content = json!({ "room_version": version });
        // Until version 10 the creator stood in the event; from 12 on he needs no power.
        if !["11", "12"].contains(&version) {
            content["creator"] = json!(creator);
        }
        let mut draft = room.draft(creator, "m.room.create", Some(""), content);
        if version == "12" {
            draft.as_object_mut().expect("an object").remove("room_id");
        }
        let create = room.sign(draft, key);
        if version == "12" {
            room.id = create.id.replacen('$', "!", 1);
        }
        room.add(create);
        let powers = if version == "12" { json!({}) } else { json!({ creator: 100 }) };
        for (kind, state_key, content) in [
            ("m.room.member", creator, json!({ "membership": "join" })),
            ("m.room.power_levels", "", json!({ "users": powers })),
            ("m.room.join_rules", "", join_rules),
            ("m.room.history_visibility", "", json!({ "history_visibility": "shared" })),
        ] {
            let draft = room.draft(creator, kind, Some(state_key), content);
            let event = room.sign(draft, key);
            room.add(event);
        }
        room
    }

    /// A room of another server, from what it answered to a join.
    pub(super) fn joined(id: &str, version: &str, join: Event, answer: &Value) -> Self {
        let events = |name: &str| {
            let list = answer[name].as_array().cloned().unwrap_or_default();
            list.into_iter().map(|pdu| Event { id: event_id(&pdu, version), pdu })
        };
        let state = events("state").filter_map(|event| Some((place(&event.pdu)?, event.id)));
        let state = state.collect::<State>();
        let mut all = BTreeMap::new();
        for event in events("auth_chain").chain(events("state")) {
            all.insert((event.pdu["depth"].as_u64(), event.id.clone()), event);
        }
        let mut room = Self {
            id: id.into(),
            version: version.into(),
            events: all.into_values().collect(),
            after: BTreeMap::new(),
            depth: 0,
            tips: Vec::new(),
            state,
        };
        room.add(join);
        room
    }

    /// An event that is neither hashed nor signed, after everything that the peer knows.
    pub fn draft(&self, by: &str, kind: &str, key: Option<&str>, content: Value) -> Value {
        let mut draft = json!({
            "type": kind,
            "sender": by,
            "room_id": self.id,
            "content": content,
            "origin_server_ts": now_ms(),
            "depth": self.depth + 1,
            "prev_events": self.tips,
        });
        if let Some(key) = key {
            draft["state_key"] = json!(key);
        }
        draft["auth_events"] = json!(self.auth_events(&draft));
        draft
    }

    /// The ids of the events that allow a draft, from the current state.
    pub fn auth_events(&self, draft: &Value) -> Vec<String> {
        let text =
            |pointer: &str| draft.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let mut places = vec![("m.room.power_levels", ""), ("m.room.member", text("/sender"))];
        // From version 12 on the room's id names its creation.
        if self.version != "12" {
            places.push(("m.room.create", ""));
        }
        if text("/type") == "m.room.member" {
            places.push(("m.room.member", text("/state_key")));
            if ["join", "invite", "knock"].contains(&text("/content/membership")) {
                places.push(("m.room.join_rules", ""));
            }
            places.push(("m.room.member", text("/content/join_authorised_via_users_server")));
        }
        if text("/type") == "m.room.create" {
            places.clear();
        }
        let found = places.iter().filter_map(|place| self.state_event(place.0, place.1));
        let mut ids = found.map(|event| event.id.clone()).collect::<Vec<_>>();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Hashes and signs a draft.
    pub(super) fn sign(&self, draft: Value, key: &Key) -> Event {
        Self::signed(&self.version, draft, key)
    }

    /// Hashes and signs a draft of some room version.
    pub(super) fn signed(version: &str, draft: Value, key: &Key) -> Event {
        let (id, pdu) = key.signed_event(&draft, version);
        Event { id, pdu }
    }

    /// Puts an event after everything that the peer knows.
    pub fn add(&mut self, event: Event) {
        if self.event(&event.id).is_some() {
            return;
        }
        if let Some(place) = place(&event.pdu) {
            self.state.insert(place, event.id.clone());
        }
        self.tips = vec![event.id.clone()];
        self.depth = self.depth.max(event.pdu["depth"].as_u64().unwrap_or_default());
        self.after.insert(event.id.clone(), self.state.clone());
        self.events.push(event);
    }

    /// Keeps an event beside the graph, only to be asked for.
    pub fn keep(&mut self, event: Event) {
        if self.event(&event.id).is_none() {
            self.events.push(event);
        }
    }

    /// An event by its id.
    pub fn event(&self, id: &str) -> Option<&Event> {
        self.events.iter().find(|event| event.id == id)
    }

    /// The event at a place of the current state.
    pub fn state_event(&self, kind: &str, key: &str) -> Option<&Event> {
        let id = self.state.get(&(kind.to_owned(), key.to_owned()))?;
        self.event(id)
    }

    /// The state before an event: that after what it follows.
    pub fn state_before(&self, id: &str) -> Vec<Event> {
        let Some(event) = self.event(id) else { return Vec::new() };
        let mut state = State::new();
        for parent in strings(&event.pdu["prev_events"]) {
            state.extend(self.after.get(&parent).cloned().unwrap_or_default());
        }
        state.values().filter_map(|id| self.event(id)).cloned().collect()
    }

    /// The current state.
    pub fn current_state(&self) -> Vec<Event> {
        self.state.values().filter_map(|id| self.event(id)).cloned().collect()
    }

    /// Everything by which these events are allowed.
    pub fn auth_chain(&self, of: &[Event]) -> Vec<Event> {
        let mut chain = BTreeMap::new();
        let mut open = of.iter().flat_map(|e| strings(&e.pdu["auth_events"])).collect::<Vec<_>>();
        // From version 12 on nobody names the creation, and everybody stands on it.
        if self.version == "12" && !of.is_empty() {
            open.push(self.id.replacen('!', "$", 1));
        }
        while let Some(id) = open.pop() {
            if let Some(event) = self.event(&id)
                && !chain.contains_key(&id)
            {
                open.extend(strings(&event.pdu["auth_events"]));
                chain.insert(id, event.clone());
            }
        }
        chain.into_values().collect()
    }

    /// Events before these, nearest first.
    pub fn before(&self, from: &[String], until: &[String], limit: usize) -> Vec<Event> {
        let mut found = Vec::<Event>::new();
        let mut open = from.to_vec();
        while let Some(id) = open.pop() {
            let Some(event) = self.event(&id) else { continue };
            for parent in strings(&event.pdu["prev_events"]) {
                let known = until.contains(&parent) || found.iter().any(|e| e.id == parent);
                if let Some(event) = self.event(&parent)
                    && !known
                    && found.len() < limit
                {
                    found.push(event.clone());
                    open.insert(0, parent);
                }
            }
        }
        found
    }
}

/// Where an event stands in the state.
fn place(pdu: &Value) -> Option<(String, String)> {
    Some((pdu["type"].as_str()?.to_owned(), pdu["state_key"].as_str()?.to_owned()))
}

/// The strings of a list.
pub fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The id of an event that others wrote.
pub fn event_id(pdu: &Value, version: &str) -> String {
    let event = super::signing::canonical(pdu);
    let rules = super::signing::rules(version);
    let hash = ruma::signatures::reference_hash(&event, &rules).expect("an event has a hash");
    format!("${hash}")
}

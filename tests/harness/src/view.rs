//! What a client believes after its syncs: incremental answers folded into one view.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A client's whole view.
#[derive(Clone, Debug, Default)]
pub struct View {
    filter: Option<String>,
    since: Option<String>,
    /// Joined rooms by id.
    pub rooms: BTreeMap<String, Room>,
    /// Stripped state of rooms to which the user is invited.
    pub invited: BTreeMap<String, BTreeMap<(String, String), Value>>,
    /// Global account data by type.
    pub account_data: BTreeMap<String, Value>,
    /// To-device messages in the order in which they came.
    pub to_device: Vec<Value>,
}

/// A joined room in a client's view.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// Current state: type and state key → event.
    pub state: BTreeMap<(String, String), Value>,
    /// The events that are known without a gap, oldest first.
    pub timeline: Vec<Value>,
    /// Account data of the room by type.
    pub account_data: BTreeMap<String, Value>,
    /// (receipt type, user, thread) → event and time.
    pub receipts: BTreeMap<(String, String, String), (String, Value)>,
    /// Who is typing.
    pub typing: Vec<String>,
    /// Heroes and counts.
    pub summary: Map<String, Value>,
    /// Notification counts.
    pub unread: Value,
}

impl View {
    /// A view through a filter (its JSON).
    pub fn filtered(filter: &Value) -> Self {
        Self { filter: Some(filter.to_string()), ..Self::default() }
    }

    /// The filter, as /sync wants it.
    pub fn filter(&self) -> Option<&str> {
        self.filter.as_deref()
    }

    /// The token from which the next /sync goes on.
    pub fn since(&self) -> Option<&str> {
        self.since.as_deref()
    }

    /// Folds one answer of /sync in.
    pub fn apply(&mut self, answer: &Value) {
        self.since = Some(crate::account::text(answer, "next_batch"));
        keep_by_type(&mut self.account_data, &answer["account_data"]);
        self.to_device.extend(events(&answer["to_device"]).cloned());
        for (id, room) in members(&answer["rooms"]["leave"]) {
            // The room's last events do not matter to anybody who shows rooms that one is in.
            let _ = room;
            self.rooms.remove(id);
            self.invited.remove(id);
        }
        for (id, room) in members(&answer["rooms"]["invite"]) {
            self.rooms.remove(id);
            let stripped = events(&room["invite_state"]).map(|e| (state_key(e), e.clone()));
            self.invited.insert(id.clone(), stripped.collect());
        }
        for (id, room) in members(&answer["rooms"]["join"]) {
            self.invited.remove(id);
            self.rooms.entry(id.clone()).or_default().apply(room);
        }
    }

    /// The timeline of a room; empty if one is not in it.
    pub fn timeline(&self, room: &str) -> &[Value] {
        self.rooms.get(room).map(|room| room.timeline.as_slice()).unwrap_or_default()
    }
}

impl Room {
    fn apply(&mut self, answer: &Value) {
        if answer["timeline"]["limited"].as_bool().unwrap_or(false) {
            self.timeline.clear();
        }
        let of_state = events(&answer["state"]).chain(events(&answer["timeline"]));
        for event in of_state.filter(|event| event["state_key"].is_string()) {
            self.state.insert(state_key(event), event.clone());
        }
        self.timeline.extend(events(&answer["timeline"]).cloned());
        keep_by_type(&mut self.account_data, &answer["account_data"]);
        for event in events(&answer["ephemeral"]) {
            match event["type"].as_str() {
                Some("m.typing") => self.typing = strings(&event["content"]["user_ids"]),
                Some("m.receipt") => self.apply_receipts(&event["content"]),
                _ => {}
            }
        }
        for (key, value) in members(&answer["summary"]) {
            self.summary.insert(key.clone(), value.clone());
        }
        if answer["unread_notifications"].is_object() {
            self.unread = answer["unread_notifications"].clone();
        }
    }

    fn apply_receipts(&mut self, content: &Value) {
        for (event, by_type) in members(content) {
            for (kind, by_user) in members(by_type) {
                for (user, data) in members(by_user) {
                    let thread = data["thread_id"].as_str().unwrap_or_default().to_owned();
                    let key = (kind.clone(), user.clone(), thread);
                    self.receipts.insert(key, (event.clone(), data["ts"].clone()));
                }
            }
        }
    }

    /// The room's current state as event ids.
    pub fn state_ids(&self) -> BTreeMap<(String, String), String> {
        self.state.iter().map(|(key, event)| (key.clone(), event_id(event))).collect()
    }

    /// The ids of the known events, oldest first.
    pub fn timeline_ids(&self) -> Vec<String> {
        self.timeline.iter().map(event_id).collect()
    }
}

fn keep_by_type(kept: &mut BTreeMap<String, Value>, list: &Value) {
    for event in events(list) {
        let kind = event["type"].as_str().unwrap_or_default();
        kept.insert(kind.to_owned(), event["content"].clone());
    }
}

fn events(list: &Value) -> impl Iterator<Item = &Value> {
    list["events"].as_array().into_iter().flatten()
}

fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn event_id(event: &Value) -> String {
    event["event_id"].as_str().unwrap_or_default().to_owned()
}

fn state_key(event: &Value) -> (String, String) {
    let field = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    (field("type"), field("state_key"))
}

//! What two servers must agree on: the state of a room.

use crate::{
    account::Account,
    wait::{PATIENCE, patiently},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// The event id of each piece of state, by type and state key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateIds(pub BTreeMap<(String, String), String>);

impl StateIds {
    /// Of the answer to `GET /state`; empty for an error.
    pub(crate) fn of(answer: &Value) -> Self {
        let events = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let field = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let entry = |e: &Value| ((field(e, "type"), field(e, "state_key")), field(e, "event_id"));
        Self(events.iter().map(entry).collect())
    }

    /// The event at a place.
    pub fn id(&self, kind: &str, key: &str) -> Option<String> {
        self.0.get(&(kind.to_owned(), key.to_owned())).cloned()
    }

    /// What the two sides hold differently, one line each.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let keys = self.0.keys().chain(other.0.keys()).collect::<std::collections::BTreeSet<_>>();
        keys.into_iter()
            .filter(|key| self.0.get(key) != other.0.get(key))
            .map(|key| format!("{key:?}: {:?} | {:?}", self.0.get(key), other.0.get(key)))
            .collect()
    }
}

/// Waits until two members on two servers see the same state, and returns it.
pub async fn same_state(room: &str, one: &Account, other: &Account) -> StateIds {
    let mut differences = Vec::new();
    let agreed = patiently(PATIENCE, async || {
        let (left, right) = (one.state(room).await, other.state(room).await);
        differences = left.differences(&right);
        (differences.is_empty() && !left.0.is_empty()).then_some(left)
    });
    let agreed = agreed.await;
    let (one, other, differences) = (&one.user_id, &other.user_id, differences.join("\n"));
    agreed.unwrap_or_else(|| panic!("{one} and {other} see two states of {room}:\n{differences}"))
}

/// The body of a message.
pub fn text_of(event: &Value) -> &str {
    event["content"]["body"].as_str().unwrap_or_default()
}

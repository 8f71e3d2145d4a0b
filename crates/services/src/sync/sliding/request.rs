//! What a device asks of a sliding sync.

use std::collections::{BTreeMap, BTreeSet};

use ruma::OwnedRoomId;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SlidingRequest {
    /// Tells apart what one device asks for at the same time.
    pub conn_id: Option<String>,
    pub txn_id: Option<String>,
    pub lists: BTreeMap<String, List>,
    pub room_subscriptions: BTreeMap<OwnedRoomId, Details>,
    pub extensions: Extensions,
}

/// Windows of the user's rooms, the most recently active ones first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct List {
    /// First and last index of each window.
    pub ranges: Vec<(usize, usize)>,
    #[serde(flatten)]
    pub details: Details,
    pub filters: Option<Filters>,
}

/// What is wanted of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Details {
    /// (type, state key), with `*` for any, `$ME` for the user himself, and `$LAZY` for the members
    /// that the timeline needs.
    pub required_state: BTreeSet<(String, String)>,
    pub timeline_limit: usize,
    pub include_heroes: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filters {
    pub is_dm: Option<bool>,
    pub is_encrypted: Option<bool>,
    pub is_invite: Option<bool>,
    /// `null` stands for rooms without a type.
    pub room_types: Option<Vec<Option<String>>>,
    pub not_room_types: Option<Vec<Option<String>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Extensions {
    pub to_device: ToDevice,
    pub e2ee: Extension,
    pub account_data: Extension,
    pub receipts: Extension,
    pub typing: Extension,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Extension {
    pub enabled: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ToDevice {
    pub enabled: bool,
    /// The `next_batch` of the messages that the device has received.
    pub since: Option<String>,
}

/// Rooms of a window: more are not told at once.
pub(super) const WINDOW_MAX: usize = 500;
/// Events of a room's timeline.
pub(super) const TIMELINE_MAX: usize = 100;

impl SlidingRequest {
    pub(super) fn conn_id(&self) -> &str {
        self.conn_id.as_deref().unwrap_or_default()
    }

    /// Up to which position the device has received the messages to it.
    pub(super) fn received_messages(&self) -> Option<u64> {
        let ToDevice { enabled, since } = &self.extensions.to_device;
        since.as_ref().filter(|_| *enabled)?.parse().ok().filter(|position| *position > 0)
    }
}

impl Details {
    /// Both together.
    pub(super) fn merge(&mut self, other: &Self) {
        self.required_state.extend(other.required_state.iter().cloned());
        self.timeline_limit = self.timeline_limit.max(other.timeline_limit).min(TIMELINE_MAX);
        self.include_heroes |= other.include_heroes;
    }
}

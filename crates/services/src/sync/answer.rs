//! The shape of a /sync answer.
//!
//! Own structs and not ruma's, because events are spliced in as they are, and because clients rely
//! on parts being there even when they are empty.
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync>.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

/// What one /sync answers.
#[derive(Debug, Default, Serialize)]
pub struct SyncAnswer {
    pub next_batch: String,
    pub rooms: Rooms,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub account_data: Events,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub presence: Events,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub to_device: Events,
    #[serde(skip_serializing_if = "DeviceLists::is_empty")]
    pub device_lists: DeviceLists,
    pub device_one_time_keys_count: BTreeMap<String, u64>,
    pub device_unused_fallback_key_types: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct Rooms {
    pub join: BTreeMap<OwnedRoomId, JoinedRoom>,
    pub invite: BTreeMap<OwnedRoomId, InvitedRoom>,
    pub knock: BTreeMap<OwnedRoomId, KnockedRoom>,
    pub leave: BTreeMap<OwnedRoomId, LeftRoom>,
}

#[derive(Debug, Default, Serialize)]
pub struct JoinedRoom {
    pub summary: Summary,
    #[serde(flatten)]
    pub state: State,
    pub timeline: Timeline,
    pub ephemeral: Events,
    pub account_data: Events,
    pub unread_notifications: UnreadCounts,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unread_thread_notifications: BTreeMap<OwnedEventId, UnreadCounts>,
}

#[derive(Debug, Default, Serialize)]
pub struct LeftRoom {
    #[serde(flatten)]
    pub state: State,
    pub timeline: Timeline,
    pub account_data: Events,
}

#[derive(Debug, Default, Serialize)]
pub struct InvitedRoom {
    pub invite_state: Events,
}

#[derive(Debug, Default, Serialize)]
pub struct KnockedRoom {
    pub knock_state: Events,
}

/// State changes: up to the start of the timeline, or up to its end if the client asked for that.
#[derive(Debug, Serialize)]
pub enum State {
    #[serde(rename = "state")]
    Before(Events),
    #[serde(rename = "state_after")]
    After(Events),
    /// The same, by its name from before it was a part of the specification (MSC4222).
    #[serde(rename = "org.matrix.msc4222.state_after")]
    AfterAsProposed(Events),
}

#[derive(Debug, Default, Serialize)]
pub struct Timeline {
    pub events: Vec<Box<RawValue>>,
    pub limited: bool,
    pub prev_batch: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Events {
    pub events: Vec<Box<RawValue>>,
}

/// Left out where nothing changed.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    #[serde(rename = "m.heroes", skip_serializing_if = "Option::is_none")]
    pub heroes: Option<Vec<OwnedUserId>>,
    #[serde(rename = "m.joined_member_count", skip_serializing_if = "Option::is_none")]
    pub joined: Option<u64>,
    #[serde(rename = "m.invited_member_count", skip_serializing_if = "Option::is_none")]
    pub invited: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnreadCounts {
    pub highlight_count: u64,
    pub notification_count: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct DeviceLists {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<OwnedUserId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<OwnedUserId>,
}

impl SyncAnswer {
    /// For clients that look for the state after a timeline under its older name only.
    pub fn with_state_after_as_proposed(mut self) -> Self {
        let joined = self.rooms.join.values_mut().map(|room| &mut room.state);
        let left = self.rooms.leave.values_mut().map(|room| &mut room.state);
        for state in joined.chain(left) {
            if let State::After(events) = state {
                *state = State::AfterAsProposed(std::mem::take(events));
            }
        }
        self
    }

    /// Whether there is nothing that a client waits for.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
            && self.account_data.is_empty()
            && self.presence.is_empty()
            && self.to_device.is_empty()
            && self.device_lists.is_empty()
    }
}

impl Rooms {
    pub fn is_empty(&self) -> bool {
        self.join.is_empty()
            && self.invite.is_empty()
            && self.knock.is_empty()
            && self.leave.is_empty()
    }
}

impl Events {
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

impl State {
    pub fn events(&self) -> &[Box<RawValue>] {
        match self {
            Self::Before(events) | Self::After(events) | Self::AfterAsProposed(events) => {
                &events.events
            }
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Before(Events::default())
    }
}

impl DeviceLists {
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }
}

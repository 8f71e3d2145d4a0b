//! What a client wants to see of what it may see.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#filtering>.

use ruma::{OwnedRoomId, OwnedUserId, RoomId};
use serde::Deserialize;

use crate::client_event::EventView;

#[cfg(test)]
mod tests;

/// A filter of /sync. Fields that it does not know are ignored, as the specification wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Filter {
    pub account_data: EventFilter,
    pub event_format: Format,
    pub presence: EventFilter,
    pub room: RoomFilter,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    #[default]
    Client,
    Federation,
}

/// Which rooms, and what of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RoomFilter {
    pub rooms: Option<Vec<OwnedRoomId>>,
    pub not_rooms: Vec<OwnedRoomId>,
    pub include_leave: bool,
    pub account_data: EventFilter,
    pub ephemeral: EventFilter,
    pub state: EventFilter,
    pub timeline: EventFilter,
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EventFilter {
    pub limit: Option<u64>,
    pub types: Option<Vec<String>>,
    pub not_types: Vec<String>,
    pub senders: Option<Vec<OwnedUserId>>,
    pub not_senders: Vec<OwnedUserId>,
    pub rooms: Option<Vec<OwnedRoomId>>,
    pub not_rooms: Vec<OwnedRoomId>,
    pub contains_url: Option<bool>,
    #[serde(alias = "org.matrix.msc3874.rel_types")]
    pub rel_types: Option<Vec<String>>,
    #[serde(alias = "org.matrix.msc3874.not_rel_types")]
    pub not_rel_types: Vec<String>,
    pub lazy_load_members: bool,
    pub include_redundant_members: bool,
    pub unread_thread_notifications: bool,
}

/// The text is no filter.
#[derive(Debug, thiserror::Error)]
#[error("the filter is not valid: {0}")]
pub struct BadFilter(#[from] serde_json::Error);

impl Filter {
    pub fn parse(json: &str) -> Result<Self, BadFilter> {
        parse(json)
    }
}

impl RoomFilter {
    pub fn wants_room(&self, room_id: &RoomId) -> bool {
        listed(self.rooms.as_deref(), &self.not_rooms, |room| room == room_id)
    }
}

impl EventFilter {
    /// A filter of /messages or /context.
    pub fn parse(json: &str) -> Result<Self, BadFilter> {
        parse(json)
    }

    /// Whether it lets everything through.
    pub fn is_open(&self) -> bool {
        self.types.is_none()
            && self.not_types.is_empty()
            && self.senders.is_none()
            && self.not_senders.is_empty()
            && self.rooms.is_none()
            && self.not_rooms.is_empty()
            && self.contains_url.is_none()
            && self.rel_types.is_none()
            && self.not_rel_types.is_empty()
    }

    /// Whether it wants any event of the room.
    pub fn wants_room(&self, room_id: &RoomId) -> bool {
        listed(self.rooms.as_deref(), &self.not_rooms, |room| room == room_id)
    }

    pub fn wants_type(&self, event_type: &str) -> bool {
        listed(self.types.as_deref(), &self.not_types, |pattern| glob(pattern, event_type))
    }

    pub fn wants_sender(&self, sender: &str) -> bool {
        listed(self.senders.as_deref(), &self.not_senders, |user| *user == sender)
    }

    /// Whether it wants the event, in a room that it wants.
    pub fn wants(&self, event: &EventView<'_>) -> bool {
        self.is_open()
            || (self.wants_type(&event.event_type)
                && self.wants_sender(&event.sender)
                && self.contains_url.is_none_or(|wanted| contains_url(event) == wanted)
                && self.wants_relation(event))
    }

    fn wants_relation(&self, event: &EventView<'_>) -> bool {
        if self.rel_types.is_none() && self.not_rel_types.is_empty() {
            return true;
        }
        let rel_type = rel_type(event);
        let is = |listed: &String| rel_type.as_deref() == Some(listed.as_str());
        listed(self.rel_types.as_deref(), &self.not_rel_types, is)
    }
}

fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, BadFilter> {
    // serde would take an array for the fields in their order.
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json)?;
    Ok(serde_json::from_value(object.into())?)
}

/// The rule of all lists: an excluded thing stays out even if it is included, too.
fn listed<T>(wanted: Option<&[T]>, unwanted: &[T], is: impl Fn(&T) -> bool) -> bool {
    wanted.is_none_or(|wanted| wanted.iter().any(&is)) && !unwanted.iter().any(&is)
}

fn contains_url(event: &EventView<'_>) -> bool {
    #[derive(Deserialize)]
    struct Content {
        url: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_str::<Content>(event.content.get()).is_ok_and(|content| content.url.is_some())
}

fn rel_type(event: &EventView<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: RelatesTo,
    }
    #[derive(Deserialize)]
    struct RelatesTo {
        rel_type: String,
    }
    let content: Content = serde_json::from_str(event.content.get()).ok()?;
    Some(content.relates_to.rel_type)
}

/// Whether the text is what the pattern says, in which `*` stands for any characters.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    // Taking each part where it occurs first leaves the most for those after it.
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

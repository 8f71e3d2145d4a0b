//! Events as clients see them: cut out of their stored bytes, without building them anew.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#room-event-format>.

use std::borrow::Cow;

use kv::StoreError;
use model::room_version::RoomVersion;
use ruma::{EventId, RoomId, ServerName, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use store::{events::StoredEvent, value::corrupt};

#[cfg(test)]
mod tests;

/// Which form of events an answer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventFormat {
    /// Without `room_id`, as /sync sends events below their room.
    Sync,
    /// With `room_id`, as every other endpoint sends them.
    #[default]
    Full,
    /// As servers exchange it.
    Federation,
}

/// A stored event, with the fields that clients are shown; borrows the stored bytes.
pub struct EventView<'a> {
    pub stored: &'a StoredEvent,
    pub content: &'a RawValue,
    pub sender: Cow<'a, str>,
    pub event_type: Cow<'a, str>,
    pub state_key: Option<Cow<'a, str>>,
    pub origin_server_ts: u64,
    redacts: Option<&'a RawValue>,
    version: RoomVersion,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    origin_server_ts: u64,
    #[serde(borrow)]
    redacts: Option<&'a RawValue>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    state_key: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
}

/// What is added to an event for the one who reads it.
#[derive(Debug, Default, Serialize)]
pub struct Unsigned<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    #[serde(rename = "m.relations", skip_serializing_if = "Option::is_none")]
    pub relations: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub membership: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_content: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_sender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redacted_because: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<&'a str>,
}

#[derive(Serialize)]
struct ClientEvent<'a> {
    content: Cow<'a, RawValue>,
    event_id: &'a str,
    origin_server_ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacts: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a RoomId>,
    sender: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<&'a str>,
    #[serde(rename = "type")]
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsigned: Option<&'a Unsigned<'a>>,
}

#[derive(Serialize)]
struct StrippedEvent<'a> {
    content: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_server_ts: Option<u64>,
    sender: &'a str,
    state_key: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
}

impl<'a> EventView<'a> {
    pub fn read(stored: &'a StoredEvent) -> Result<Self, StoreError> {
        let (version, json) = stored.pdu.split_first().ok_or_else(|| corrupt("event"))?;
        let version = RoomVersion::from_byte(*version).ok_or_else(|| corrupt("room version"))?;
        let fields: Fields<'_> = serde_json::from_slice(json).map_err(|_| corrupt("event"))?;
        Ok(Self {
            stored,
            content: fields.content,
            sender: fields.sender,
            event_type: fields.event_type,
            state_key: fields.state_key,
            origin_server_ts: fields.origin_server_ts,
            redacts: fields.redacts,
            version,
        })
    }

    pub fn event_id(&self) -> &'a str {
        &self.stored.record.event_id
    }

    pub fn is_at(&self, event_type: &str, state_key: &str) -> bool {
        self.event_type == event_type && self.state_key.as_deref() == Some(state_key)
    }

    /// Whether it was sent by a user of that server.
    pub fn sender_is_of(&self, server: &ServerName) -> bool {
        <&UserId>::try_from(&*self.sender).is_ok_and(|sender| sender.server_name() == server)
    }

    /// The event as JSON. The room is not read from the event: the create event of version 12 does
    /// not name it.
    pub fn to_json(
        &self,
        room_id: &RoomId,
        format: EventFormat,
        unsigned: Option<&Unsigned<'_>>,
    ) -> Box<RawValue> {
        if format == EventFormat::Federation {
            return self.to_federation_json();
        }
        let redacts = self.redacts();
        raw(&ClientEvent {
            content: self.client_content(redacts.as_deref()),
            event_id: self.event_id(),
            origin_server_ts: self.origin_server_ts,
            redacts: redacts.as_deref(),
            room_id: (format == EventFormat::Full).then_some(room_id),
            sender: &self.sender,
            state_key: self.state_key.as_deref(),
            event_type: &self.event_type,
            unsigned,
        })
    }

    /// The event as stripped state; `None` if it is not a state event.
    pub fn to_stripped_json(&self) -> Option<Box<RawValue>> {
        Some(raw(&StrippedEvent {
            content: self.content,
            // The create event is shown with its time (MSC4311).
            origin_server_ts: (self.event_type == "m.room.create").then_some(self.origin_server_ts),
            sender: &self.sender,
            state_key: self.state_key.as_deref()?,
            event_type: &self.event_type,
        }))
    }

    fn to_federation_json(&self) -> Box<RawValue> {
        let json = String::from_utf8_lossy(&self.stored.pdu[1..]).into_owned();
        RawValue::from_string(json).unwrap_or_else(|error| panic!("a stored event: {error}"))
    }

    /// The event that a redaction names, from where the room version puts it.
    pub fn redacts(&self) -> Option<Cow<'a, EventId>> {
        #[derive(Deserialize)]
        struct Content {
            redacts: ruma::OwnedEventId,
        }
        if self.event_type != "m.room.redaction" {
            return None;
        }
        // Since v11: the redacts property was moved from the top level to content.
        let redacts = if self.version.redacts_in_content() {
            serde_json::from_str::<Content>(self.content.get()).ok()?.redacts
        } else {
            serde_json::from_str(self.redacts?.get()).ok()?
        };
        Some(Cow::Owned(redacts))
    }

    /// Room version 11: "For improved compatibility with newer clients, servers should add a
    /// `redacts` property to the `content` of `m.room.redaction` events in older room versions when
    /// serving such events over the Client-Server API."
    fn client_content(&self, redacts: Option<&EventId>) -> Cow<'a, RawValue> {
        let (Some(redacts), false) = (redacts, self.version.redacts_in_content()) else {
            return Cow::Borrowed(self.content);
        };
        let content = serde_json::from_str(self.content.get());
        let mut content: serde_json::Map<String, serde_json::Value> = content.unwrap_or_default();
        content.insert("redacts".to_owned(), redacts.as_str().into());
        Cow::Owned(raw(&content))
    }
}

/// JSON of a value that cannot fail to be JSON: structs, and maps with string keys.
pub(crate) fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|error| panic!("an answer did not become JSON: {error}"))
}

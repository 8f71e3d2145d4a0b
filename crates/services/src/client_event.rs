//! Events as clients see them: cut out of their stored bytes, without building them anew.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#room-event-format>.

use std::borrow::Cow;

use kv::StoreError;
use model::{
    canonical_json::{Json, Members, RawObject},
    room_version::RoomVersion,
};
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
    pub content: Json<'a>,
    pub sender: Cow<'a, str>,
    pub event_type: Cow<'a, str>,
    pub state_key: Option<Cow<'a, str>>,
    pub origin_server_ts: u64,
    redacts: Option<Json<'a>>,
    raw: RawFields<'a>,
    version: RoomVersion,
}

/// Fields as they are written.
struct RawFields<'a> {
    origin_server_ts: Json<'a>,
    sender: Json<'a>,
    state_key: Option<Json<'a>>,
    event_type: Json<'a>,
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

/// What an event has besides its content and `unsigned`, roughly, in bytes.
const FRAME_BYTES: usize = 384;

impl<'a> EventView<'a> {
    pub fn read(stored: &'a StoredEvent) -> Result<Self, StoreError> {
        let (version, json) = stored.pdu.split_first().ok_or_else(|| corrupt("event"))?;
        let version = RoomVersion::from_byte(*version).ok_or_else(|| corrupt("room version"))?;
        let json = std::str::from_utf8(json).map_err(|_| corrupt("event"))?;
        Self::cut(stored, version, json).ok_or_else(|| corrupt("event"))
    }

    /// Most of an event's bytes are for servers: they are passed over unread.
    fn cut(stored: &'a StoredEvent, version: RoomVersion, json: &'a str) -> Option<Self> {
        let [mut content, mut origin_server_ts, mut redacts] = [None; 3];
        let [mut sender, mut state_key, mut event_type] = [None; 3];
        for member in Members::of(json) {
            let (key, value) = member.ok()?;
            match key {
                "content" => content = Some(value),
                "origin_server_ts" => origin_server_ts = Some(value),
                "redacts" => redacts = Some(value),
                "sender" => sender = Some(value),
                "state_key" => state_key = Some(value),
                "type" => event_type = Some(value),
                _ => {}
            }
        }
        let raw = RawFields {
            origin_server_ts: origin_server_ts?,
            sender: sender?,
            state_key,
            event_type: event_type?,
        };
        Some(Self {
            stored,
            content: content?,
            sender: raw.sender.string()?,
            event_type: raw.event_type.string()?,
            state_key: match state_key {
                Some(state_key) => Some(state_key.string()?),
                None => None,
            },
            origin_server_ts: raw.origin_server_ts.number()?,
            redacts,
            raw,
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
        let mut event = RawObject::with_capacity(self.content.get().len() + FRAME_BYTES);
        self.put_content(&mut event, redacts.as_deref());
        event.put_string("event_id", self.event_id());
        event.put("origin_server_ts", self.raw.origin_server_ts);
        if let Some(redacts) = &redacts {
            event.put_string("redacts", redacts.as_str());
        }
        if format == EventFormat::Full {
            event.put_string("room_id", room_id.as_str());
        }
        event.put("sender", self.raw.sender);
        if let Some(state_key) = self.raw.state_key {
            event.put("state_key", state_key);
        }
        event.put("type", self.raw.event_type);
        if let Some(unsigned) = unsigned {
            event.put_value("unsigned", unsigned);
        }
        event.finish()
    }

    /// The event as stripped state; `None` if it is not a state event.
    pub fn to_stripped_json(&self) -> Option<Box<RawValue>> {
        let state_key = self.raw.state_key?;
        let mut event = RawObject::with_capacity(self.content.get().len() + FRAME_BYTES);
        event.put("content", self.content);
        // The create event is shown with its time (MSC4311).
        if self.event_type == "m.room.create" {
            event.put("origin_server_ts", self.raw.origin_server_ts);
        }
        event.put("sender", self.raw.sender);
        event.put("state_key", state_key);
        event.put("type", self.raw.event_type);
        Some(event.finish())
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
    fn put_content(&self, event: &mut RawObject, redacts: Option<&EventId>) {
        let (Some(redacts), false) = (redacts, self.version.redacts_in_content()) else {
            return event.put("content", self.content);
        };
        let content = serde_json::from_str(self.content.get());
        let mut content: serde_json::Map<String, serde_json::Value> = content.unwrap_or_default();
        content.insert("redacts".to_owned(), redacts.as_str().into());
        event.put_value("content", &content);
    }
}

/// JSON of a value that cannot fail to be JSON: structs, and maps with string keys.
pub(crate) fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|error| panic!("an answer did not become JSON: {error}"))
}

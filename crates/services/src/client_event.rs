//! Events as clients see them: cut out of their stored bytes, without building them anew.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#room-event-format>.

use std::{
    borrow::Cow,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use kv::StoreError;
use model::{
    canonical_json::{BegunObject, CutObject, Json, RawArray, RawObject},
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

/// A stored event that is to be shown. Cheap to clone; what it takes to show it is found out once,
/// whoever is shown it.
#[derive(Clone, Debug)]
pub struct ClientEvent(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stored: StoredEvent,
    cut: OnceLock<Cut>,
    shown: OnceLock<Shown>,
    /// Whether something may relate to it that is bundled with it.
    has_bundle: OnceLock<bool>,
}

/// What every client is shown of an event.
#[derive(Debug)]
struct Shown {
    /// All but `room_id` and `unsigned`.
    body: BegunObject,
    origin_server_ts: u64,
    is_state: bool,
}

/// Most of an event's bytes are for servers: they are passed over unread.
type Cut = CutObject<6>;

const KEYS: [&str; 6] = ["content", "origin_server_ts", "redacts", "sender", "state_key", "type"];

impl From<StoredEvent> for ClientEvent {
    fn from(stored: StoredEvent) -> Self {
        let (cut, shown, has_bundle) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { stored, cut, shown, has_bundle }))
    }
}

impl Deref for ClientEvent {
    type Target = StoredEvent;

    fn deref(&self) -> &StoredEvent {
        &self.0.stored
    }
}

impl ClientEvent {
    fn cut(&self) -> Option<&Cut> {
        if self.0.cut.get().is_none() {
            let _ = self.0.cut.set(Cut::of(self.pdu.slice(1..), KEYS).ok()?);
        }
        self.0.cut.get()
    }

    fn shown(&self) -> Result<&Shown, StoreError> {
        match self.0.shown.get() {
            Some(shown) => Ok(shown),
            None => {
                let shown = EventView::read(self)?.shown();
                Ok(self.0.shown.get_or_init(|| shown))
            }
        }
    }

    pub fn origin_server_ts(&self) -> Result<u64, StoreError> {
        Ok(self.shown()?.origin_server_ts)
    }

    pub fn is_state(&self) -> Result<bool, StoreError> {
        Ok(self.shown()?.is_state)
    }

    /// `None` until it was found out.
    pub(crate) fn has_bundle(&self) -> Option<bool> {
        self.0.has_bundle.get().copied()
    }

    pub(crate) fn set_has_bundle(&self, has_bundle: bool) {
        let _ = self.0.has_bundle.set(has_bundle);
    }

    /// The event as JSON. The room is not read from the event: the create event of version 12 does
    /// not name it.
    pub fn to_json(
        &self,
        room_id: &RoomId,
        format: EventFormat,
        unsigned: Option<&Unsigned<'_>>,
    ) -> Result<Box<RawValue>, StoreError> {
        if format == EventFormat::Federation {
            let json = String::from_utf8_lossy(&self.pdu[1..]).into_owned();
            return RawValue::from_string(json).map_err(|_| corrupt("event"));
        }
        let mut event = self.shown()?.body.resume(ADDED_BYTES);
        if format == EventFormat::Full {
            event.put_string("room_id", room_id.as_str());
        }
        if let Some(unsigned) = unsigned {
            unsigned.put(&mut event);
        }
        Ok(event.finish())
    }

    /// [`to_json`](Self::to_json) in its full format, at the end of a list.
    pub(crate) fn put_into(
        &self,
        list: &mut RawArray,
        room_id: &RoomId,
        unsigned: &Unsigned<'_>,
    ) -> Result<(), StoreError> {
        list.push(&self.shown()?.body, |event| {
            event.put_string("room_id", room_id.as_str());
            unsigned.put(event);
        });
        Ok(())
    }

    /// About how many bytes its JSON has.
    pub(crate) fn json_bytes(&self) -> Result<usize, StoreError> {
        Ok(self.shown()?.body.bytes() + ADDED_BYTES)
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        // Its bytes as stored, and again as shown.
        size_of::<Inner>() + RECORD_BYTES + 2 * self.pdu.len()
    }
}

/// What an [`EventRecord`](store::events::EventRecord) keeps besides itself, roughly, in bytes.
const RECORD_BYTES: usize = 256;

/// An event's fields that clients are shown; borrows its stored bytes.
pub struct EventView<'a> {
    pub stored: &'a ClientEvent,
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
#[derive(Debug, Default)]
pub struct Unsigned<'a> {
    pub age: Option<u64>,
    pub relations: Option<Box<RawValue>>,
    pub membership: Option<&'a str>,
    pub prev_content: Option<Box<RawValue>>,
    pub prev_sender: Option<String>,
    pub redacted_because: Option<Box<RawValue>>,
    pub replaces_state: Option<String>,
    pub transaction_id: Option<&'a str>,
}

impl Unsigned<'_> {
    fn put(&self, event: &mut RawObject) {
        event.begin("unsigned");
        if let Some(age) = self.age {
            event.put_number("age", age);
        }
        let raw = [
            ("m.relations", &self.relations),
            ("prev_content", &self.prev_content),
            ("redacted_because", &self.redacted_because),
        ];
        for (key, value) in raw {
            if let Some(value) = value {
                event.put_raw(key, value);
            }
        }
        let strings = [
            ("membership", self.membership),
            ("prev_sender", self.prev_sender.as_deref()),
            ("replaces_state", self.replaces_state.as_deref()),
            ("transaction_id", self.transaction_id),
        ];
        for (key, value) in strings {
            if let Some(value) = value {
                event.put_string(key, value);
            }
        }
        event.end();
    }
}

/// What an event has besides its content and `unsigned`, roughly, in bytes.
const FRAME_BYTES: usize = 384;
/// What `room_id` and most `unsigned`s have, in bytes.
const ADDED_BYTES: usize = 192;

impl<'a> EventView<'a> {
    pub fn read(event: &'a ClientEvent) -> Result<Self, StoreError> {
        let version = event.pdu.first().ok_or_else(|| corrupt("event"))?;
        let version = RoomVersion::from_byte(*version).ok_or_else(|| corrupt("room version"))?;
        Self::cut(event, version).ok_or_else(|| corrupt("event"))
    }

    fn cut(event: &'a ClientEvent, version: RoomVersion) -> Option<Self> {
        let [content, origin_server_ts, redacts, sender, state_key, event_type] =
            event.cut()?.members();
        let raw = RawFields {
            origin_server_ts: origin_server_ts?,
            sender: sender?,
            state_key,
            event_type: event_type?,
        };
        Some(Self {
            stored: event,
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

    fn shown(&self) -> Shown {
        let redacts = self.redacts();
        let mut event = RawObject::with_capacity(self.content.get().len() + FRAME_BYTES);
        self.put_content(&mut event, redacts.as_deref());
        event.put_string("event_id", self.event_id());
        event.put("origin_server_ts", self.raw.origin_server_ts);
        if let Some(redacts) = &redacts {
            event.put_string("redacts", redacts.as_str());
        }
        event.put("sender", self.raw.sender);
        if let Some(state_key) = self.raw.state_key {
            event.put("state_key", state_key);
        }
        event.put("type", self.raw.event_type);
        let is_state = self.raw.state_key.is_some();
        Shown { body: event.pause(), origin_server_ts: self.origin_server_ts, is_state }
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

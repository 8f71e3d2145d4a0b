//! An event as servers exchange it: a persistent data unit (PDU).
//!
//! Invariant: a [`Pdu`] was either checked by [`Pdu::from_wire`] (or built here), or read back from a
//! record that such a PDU wrote, so its fields and its bytes always agree. Its bytes are canonical
//! JSON without `unsigned`: they are what is stored, hashed, signed and sent.
//! Specification: <https://spec.matrix.org/v1.19/server-server-api/#pdus>, room versions 6 to 12.

use std::{fmt, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, OwnedRoomId, OwnedUserId,
    events::{TimelineEventType, room::member::MembershipState},
    signatures,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    canonical_json::{self, NotCanonical},
    room_version::RoomVersion,
};

mod authorised;
mod format;
mod implied;
mod stored;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use authorised::{kind as kind_of, names_unreadable_users};
pub(crate) use implied::join_rules_id;
pub use stored::BadRecord;

/// The longest event, as canonical JSON with its signatures and without `unsigned`. (`unsigned` is
/// not counted because every server on the way may change it.)
pub const PDU_BYTES_MAX: usize = 65_536;
/// The longest sender, room id, event type, state key and event id.
pub const ID_BYTES_MAX: usize = 255;
/// The most events that one event may follow.
pub const PREV_EVENTS_MAX: usize = 20;
/// The most events that one event may be authorised by.
pub const AUTH_EVENTS_MAX: usize = 10;
/// The greatest depth: the greatest integer of canonical JSON. Deeper events get this depth.
pub const DEPTH_MAX: u64 = (1 << 53) - 1;

/// One event of a room. Immutable; shared as `Arc<Pdu>`.
#[derive(Clone)]
pub struct Pdu {
    /// The event's id: `$` and its reference hash.
    pub event_id: OwnedEventId,
    /// The room. For the create event of version 12 it is derived from the event's own hash.
    pub room_id: OwnedRoomId,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// The type exactly as it was sent.
    pub event_type: Arc<str>,
    /// The type to match on. A type that ruma takes for an alias of another one is `_Custom` here, so
    /// equal kinds always mean equal types.
    pub kind: TimelineEventType,
    /// Present in state events, and only there.
    pub state_key: Option<Arc<str>>,
    /// The events this one follows.
    pub prev_events: Vec<OwnedEventId>,
    /// The events that allow this one, as its sender saw it.
    pub auth_events: Vec<OwnedEventId>,
    /// The longest way to the create event, as the sender claims.
    pub depth: u64,
    /// When the sender claims to have sent it, in milliseconds since the Unix epoch.
    pub origin_server_ts: u64,
    /// For `m.room.redaction`: the event to be redacted, from where the room version puts it.
    pub redacts: Option<OwnedEventId>,
    /// The version of the room.
    pub room_version: RoomVersion,
    /// This homeserver's judgement, not part of the event: it failed the authorisation rules and
    /// must never be used to allow another event.
    pub rejected: bool,
    content: Box<RawValue>,
    /// What the authorisation rules read instead of `content`, where the two differ.
    content_for_auth: Option<Box<RawValue>>,
    record: Bytes,
}

/// Why some bytes are not an event of a room version.
#[derive(Debug, thiserror::Error)]
pub enum PduError {
    /// Not JSON, not an object, or with values that canonical JSON forbids.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    /// A field that every event needs is absent.
    #[error("the event has no `{0}`")]
    Missing(&'static str),
    /// A field has another JSON type than it must have, or an integer is negative.
    #[error("`{0}` has the wrong type")]
    WrongType(&'static str),
    /// An identifier, type or state key has more than 255 bytes.
    #[error("`{0}` is longer than {ID_BYTES_MAX} bytes")]
    TooLong(&'static str),
    /// An identifier does not follow its grammar.
    #[error("`{0}` is not a valid identifier")]
    InvalidId(&'static str),
    /// More than 20 `prev_events` or 10 `auth_events`.
    #[error("`{0}` has too many entries")]
    TooMany(&'static str),
    /// The create event of version 12 has a room id, which it cannot know.
    #[error("a create event of room version 12 must not have a `room_id`")]
    CreateWithRoomId,
    /// Since version 12 the create event is implied and must not be listed.
    #[error("`auth_events` must not name the create event since room version 12")]
    CreateInAuthEvents,
    /// The whole event is longer than 65,536 bytes.
    #[error("the event has {0} bytes, more than {PDU_BYTES_MAX}")]
    TooLarge(usize),
}

impl Pdu {
    /// Reads an event as it comes from another server and checks its format. Does not look at
    /// signatures and hashes: see [`crate::verify`].
    pub fn from_wire(json: &[u8], version: RoomVersion) -> Result<Self, PduError> {
        let mut object = canonical_json::parse(json)?;
        Self::from_object(&mut object, version)
    }

    /// Like [`Self::from_wire`], of an object that was already read. Removes its `unsigned`.
    pub fn from_object(
        object: &mut CanonicalJsonObject,
        version: RoomVersion,
    ) -> Result<Self, PduError> {
        object.remove("unsigned");
        format::check(object, version)?;
        let mut record = BytesMut::with_capacity(1024);
        record.put_u8(version.to_byte());
        record.put_slice(&canonical_json::to_bytes(object));
        let length = record.len() - 1;
        if length > PDU_BYTES_MAX {
            return Err(PduError::TooLarge(length));
        }
        let event_id = reference_id(object, version)?;
        stored::read(record.freeze(), event_id).map_err(PduError::from)
    }

    /// Reads an event from the record that [`Self::record`] gave. Fast: hashes nothing, checks
    /// nothing twice.
    pub fn from_stored(record: Bytes, event_id: OwnedEventId) -> Result<Self, BadRecord> {
        stored::read(record, event_id)
    }

    /// The event's canonical JSON without `unsigned`: what is sent to other servers.
    pub fn json(&self) -> &[u8] {
        &self.record[1..]
    }

    /// The event's canonical JSON as text.
    pub fn json_str(&self) -> &str {
        // Canonical JSON was text when it was read, and the bytes have not changed since.
        std::str::from_utf8(self.json()).unwrap_or_default()
    }

    /// The event as raw JSON, for the bodies of federation requests and responses.
    pub fn to_wire(&self) -> Box<RawValue> {
        RawValue::from_string(self.json_str().to_owned())
            .unwrap_or_else(|error| panic!("a PDU's bytes are not JSON: {error}"))
    }

    /// What to store: one byte of room version, then [`Self::json`]. A clone shares the bytes.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// The event as an object, to change, redact or verify it.
    pub fn to_object(&self) -> CanonicalJsonObject {
        canonical_json::parse(self.json())
            .unwrap_or_else(|error| panic!("a PDU's bytes are not canonical JSON: {error}"))
    }

    /// The content as it was sent.
    pub fn content(&self) -> &RawValue {
        &self.content
    }

    /// The content, or a part of it, as a type of the caller's. `None` if it does not fit.
    pub fn content_as<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(self.content.get()).ok()
    }

    /// The same event, with this homeserver's judgement about it.
    pub fn with_rejected(mut self, rejected: bool) -> Self {
        self.rejected = rejected;
        self
    }

    /// Whether this is a state event.
    pub fn is_state(&self) -> bool {
        self.state_key.is_some()
    }

    /// Where in the room's state this event stands.
    pub fn type_and_key(&self) -> Option<(&str, &str)> {
        Some((&self.event_type, self.state_key.as_deref()?))
    }

    /// Whether the event stands at this place of the state.
    pub fn is_at(&self, event_type: &str, state_key: &str) -> bool {
        self.type_and_key() == Some((event_type, state_key))
    }

    /// The membership that an `m.room.member` state event sets.
    pub fn membership(&self) -> Option<MembershipState> {
        #[derive(Deserialize)]
        struct Content {
            membership: MembershipState,
        }
        if self.kind != TimelineEventType::RoomMember || !self.is_state() {
            return None;
        }
        self.content_as::<Content>().map(|content| content.membership)
    }

    /// The user whose homeserver vouches for a join to a restricted room.
    pub fn join_authorised_via(&self) -> Option<OwnedUserId> {
        #[derive(Deserialize)]
        struct Content {
            join_authorised_via_users_server: OwnedUserId,
        }
        if self.kind != TimelineEventType::RoomMember {
            return None;
        }
        self.content_as::<Content>().map(|content| content.join_authorised_via_users_server)
    }
}

/// The id of an event: `$` and the URL-safe base64 of its reference hash.
pub(crate) fn reference_id(
    object: &CanonicalJsonObject,
    version: RoomVersion,
) -> Result<OwnedEventId, PduError> {
    let hash =
        signatures::reference_hash(object, version.rules()).map_err(|error| match error {
            signatures::JsonError::Serde(error) => {
                PduError::NotCanonical(NotCanonical::from(error))
            }
            signatures::JsonError::Field(_) => PduError::WrongType("type"),
            _ => PduError::TooLarge(PDU_BYTES_MAX + 1),
        })?;
    EventId::new_v2_or_v3(&hash).map_err(|_| PduError::InvalidId("event_id"))
}

impl fmt::Debug for Pdu {
    /// Shows which event it is and not what it says: contents do not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pdu")
            .field("event_id", &self.event_id)
            .field("room_id", &self.room_id)
            .field("event_type", &self.event_type)
            .field("rejected", &self.rejected)
            .finish_non_exhaustive()
    }
}

//! Building events of our own: what goes in, where it stands in the room's graph, hash, signature.
//! Specification: <https://spec.matrix.org/v1.19/server-server-api/#signing-events>.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedEventId, OwnedRoomId, OwnedUserId, ServerName,
    UInt, signatures,
};
use serde_json::value::RawValue;

use crate::{
    canonical_json::{self, NotCanonical},
    pdu::{DEPTH_MAX, Pdu, PduError},
    room_version::RoomVersion,
    signing_key::SigningKey,
};

#[cfg(test)]
pub(crate) mod tests;

/// What an event says, before it has a place in the room.
#[derive(Clone, Debug)]
pub struct EventTemplate {
    /// The room; `None` for the create event of version 12, whose hash becomes the room id.
    pub room_id: Option<OwnedRoomId>,
    /// Who sends it.
    pub sender: OwnedUserId,
    /// The event's type.
    pub event_type: String,
    /// Makes it a state event.
    pub state_key: Option<String>,
    /// A JSON object, in any spacing and order.
    pub content: Box<RawValue>,
    /// For `m.room.redaction`: the target. Goes where the room version wants it.
    pub redacts: Option<OwnedEventId>,
    /// Milliseconds since the Unix epoch.
    pub origin_server_ts: u64,
}

/// Where in the room's graph a new event stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The events it follows: at most 20.
    pub prev_events: Vec<OwnedEventId>,
    /// The events that allow it: at most 10.
    pub auth_events: Vec<OwnedEventId>,
    /// One more than the greatest depth among `prev_events`; clamped to what canonical JSON can say.
    pub depth: u64,
}

/// Why an event cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The event would be longer than 65,536 bytes, or one of its names than 255 (`M_TOO_LARGE`).
    #[error("the event is too large: {0}")]
    TooLarge(#[source] PduError),
    /// The content is no JSON object, or has values that events cannot hold (`M_BAD_JSON`).
    #[error("the content is not an object of canonical JSON: {0}")]
    Content(#[source] NotCanonical),
    /// The content is JSON but no object (`M_BAD_JSON`).
    #[error("the content is not an object")]
    ContentNotObject,
    /// The event would break another rule of its format.
    #[error("the event would not be valid: {0}")]
    Format(#[source] PduError),
    /// The event could not be signed, because a field that signing needs has the wrong type.
    #[error("the event cannot be signed: {0}")]
    Sign(#[source] signatures::JsonError),
}

impl From<PduError> for BuildError {
    fn from(error: PduError) -> Self {
        match error {
            PduError::TooLarge(_) | PduError::TooLong(_) => Self::TooLarge(error),
            _ => Self::Format(error),
        }
    }
}

impl From<signatures::JsonError> for BuildError {
    fn from(error: signatures::JsonError) -> Self {
        match error {
            signatures::JsonError::PduTooLarge => {
                Self::TooLarge(PduError::TooLarge(crate::pdu::PDU_BYTES_MAX + 1))
            }
            _ => Self::Sign(error),
        }
    }
}

/// Builds an event, adds its content hash and `server`'s signature, and computes its id.
pub fn build_and_sign(
    template: &EventTemplate,
    place: &Place,
    version: RoomVersion,
    server: &ServerName,
    key: &SigningKey,
) -> Result<Pdu, BuildError> {
    let mut object = event_object(template, place, version)?;
    signatures::hash_and_sign_event(
        server.as_str(),
        key.key_pair(),
        &mut object,
        &version.rules().redaction,
    )?;
    Ok(Pdu::from_object(&mut object, version)?)
}

/// The event without hash and signature: what `make_join` and its kin answer.
pub fn proposal(
    template: &EventTemplate,
    place: &Place,
    version: RoomVersion,
) -> Result<CanonicalJsonObject, BuildError> {
    event_object(template, place, version)
}

/// Adds `server`'s signature to an event that somebody else made: an invite to one of our users, a
/// restricted join that one of our users vouches for, an event that our policy server approves. The
/// event's id stays the same.
pub fn countersign(pdu: &Pdu, server: &ServerName, key: &SigningKey) -> Result<Pdu, BuildError> {
    let mut object = pdu.to_object();
    let redaction = &pdu.room_version.rules().redaction;
    signatures::sign_event(server.as_str(), key.key_pair(), &mut object, redaction)?;
    Ok(Pdu::from_object(&mut object, pdu.room_version)?.with_rejected(pdu.rejected))
}

fn event_object(
    template: &EventTemplate,
    place: &Place,
    version: RoomVersion,
) -> Result<CanonicalJsonObject, BuildError> {
    let mut content = match canonical_json::canonicalise(&template.content) {
        Ok(CanonicalJsonValue::Object(content)) => content,
        Ok(_) => return Err(BuildError::ContentNotObject),
        Err(error) => return Err(BuildError::Content(error)),
    };
    let mut object = CanonicalJsonObject::new();
    let mut set = |field: &str, value: CanonicalJsonValue| object.insert(field.to_owned(), value);
    if let Some(redacts) = &template.redacts {
        // Since v11: the redacts property was moved from the top level to content.
        if version.redacts_in_content() {
            content.insert("redacts".to_owned(), redacts.as_str().into());
        } else {
            set("redacts", redacts.as_str().into());
        }
    }
    if let Some(room_id) = &template.room_id {
        set("room_id", room_id.as_str().into());
    }
    if let Some(state_key) = &template.state_key {
        set("state_key", state_key.as_str().into());
    }
    set("auth_events", ids(&place.auth_events));
    set("content", content.into());
    set("depth", natural(place.depth.min(DEPTH_MAX)));
    set("origin_server_ts", natural(template.origin_server_ts));
    set("prev_events", ids(&place.prev_events));
    set("sender", template.sender.as_str().into());
    set("type", template.event_type.as_str().into());
    Ok(object)
}

fn ids(events: &[OwnedEventId]) -> CanonicalJsonValue {
    let ids: Vec<CanonicalJsonValue> = events.iter().map(|event| event.as_str().into()).collect();
    ids.into()
}

fn natural(number: u64) -> CanonicalJsonValue {
    UInt::new_saturating(number).into()
}

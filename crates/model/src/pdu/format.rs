//! The format that every event must have before anything else is asked of it.
//! Specification: <https://spec.matrix.org/v1.19/rooms/v12/#event-format-1> and the same section of
//! the versions before it; size limits: <https://spec.matrix.org/v1.19/client-server-api/#size-limits>.

use ruma::{CanonicalJsonObject, CanonicalJsonValue, EventId, RoomId, UserId};

use super::{AUTH_EVENTS_MAX, ID_BYTES_MAX, PREV_EVENTS_MAX, PduError};
use crate::room_version::RoomVersion;

/// Checks an event object, without `unsigned`.
pub(super) fn check(object: &CanonicalJsonObject, version: RoomVersion) -> Result<(), PduError> {
    let event_type = named(object, "type", version)?.ok_or(PduError::Missing("type"))?;
    let sender = required_string(object, "sender")?;
    <&UserId>::try_from(sender).map_err(|_| PduError::InvalidId("sender"))?;
    named(object, "state_key", version)?;
    required_object(object, "content")?;
    natural_number(object, "depth")?;
    natural_number(object, "origin_server_ts")?;
    event_ids(object, "prev_events", PREV_EVENTS_MAX)?;
    let auth_events = event_ids(object, "auth_events", AUTH_EVENTS_MAX)?;
    let room_id = room_id(object, event_type, version)?;
    // Since v12: the create event is implied by the room id and must not be listed.
    if let Some(room_id) = room_id
        && version.room_id_is_create_hash()
        && auth_events.iter().any(|event| {
            event.as_str().is_some_and(|event| event.get(1..) == Some(room_id.strip_sigil()))
        })
    {
        return Err(PduError::CreateInAuthEvents);
    }
    hashes_and_signatures(object)
}

/// The room id; `None` for the create event of a room whose id is that event's hash.
fn room_id<'a>(
    object: &'a CanonicalJsonObject,
    event_type: &str,
    version: RoomVersion,
) -> Result<Option<&'a RoomId>, PduError> {
    if event_type == "m.room.create" && version.room_id_is_create_hash() {
        if object.contains_key("room_id") {
            return Err(PduError::CreateWithRoomId);
        }
        return Ok(None);
    }
    let room_id = required_string(object, "room_id")?;
    <&RoomId>::try_from(room_id).map(Some).map_err(|_| PduError::InvalidId("room_id"))
}

fn hashes_and_signatures(object: &CanonicalJsonObject) -> Result<(), PduError> {
    let hashes = required_object(object, "hashes")?;
    match hashes.get("sha256") {
        Some(CanonicalJsonValue::String(_)) => {}
        Some(_) => return Err(PduError::WrongType("hashes.sha256")),
        None => return Err(PduError::Missing("hashes.sha256")),
    }
    let signatures = required_object(object, "signatures")?;
    if signatures.values().any(|of_server| !of_server.is_object()) {
        return Err(PduError::WrongType("signatures"));
    }
    Ok(())
}

fn optional_string<'a>(
    object: &'a CanonicalJsonObject,
    field: &'static str,
) -> Result<Option<&'a str>, PduError> {
    match object.get(field) {
        None => Ok(None),
        Some(CanonicalJsonValue::String(string)) if string.len() > ID_BYTES_MAX => {
            Err(PduError::TooLong(field))
        }
        Some(CanonicalJsonValue::String(string)) => Ok(Some(string)),
        Some(_) => Err(PduError::WrongType(field)),
    }
}

/// A name that users choose. Up to version 10 other servers count its characters, not its bytes: an
/// event that they let in must not be one that we keep out.
fn named<'a>(
    object: &'a CanonicalJsonObject,
    field: &'static str,
    version: RoomVersion,
) -> Result<Option<&'a str>, PduError> {
    match object.get(field) {
        Some(CanonicalJsonValue::String(name))
            if version < RoomVersion::V11 && name.chars().count() <= ID_BYTES_MAX =>
        {
            Ok(Some(name))
        }
        _ => optional_string(object, field),
    }
}

fn required_string<'a>(
    object: &'a CanonicalJsonObject,
    field: &'static str,
) -> Result<&'a str, PduError> {
    optional_string(object, field)?.ok_or(PduError::Missing(field))
}

fn required_object<'a>(
    object: &'a CanonicalJsonObject,
    field: &'static str,
) -> Result<&'a CanonicalJsonObject, PduError> {
    match object.get(field) {
        Some(CanonicalJsonValue::Object(object)) => Ok(object),
        Some(_) => Err(PduError::WrongType(field)),
        None => Err(PduError::Missing(field)),
    }
}

fn natural_number(object: &CanonicalJsonObject, field: &'static str) -> Result<(), PduError> {
    match object.get(field) {
        Some(CanonicalJsonValue::Integer(number)) if i64::from(*number) >= 0 => Ok(()),
        Some(_) => Err(PduError::WrongType(field)),
        None => Err(PduError::Missing(field)),
    }
}

fn event_ids<'a>(
    object: &'a CanonicalJsonObject,
    field: &'static str,
    count_max: usize,
) -> Result<&'a [CanonicalJsonValue], PduError> {
    let events = match object.get(field) {
        Some(CanonicalJsonValue::Array(events)) => events,
        Some(_) => return Err(PduError::WrongType(field)),
        None => return Err(PduError::Missing(field)),
    };
    if events.len() > count_max {
        return Err(PduError::TooMany(field));
    }
    for event in events {
        let CanonicalJsonValue::String(event) = event else {
            return Err(PduError::WrongType(field));
        };
        if event.len() > ID_BYTES_MAX {
            return Err(PduError::TooLong(field));
        }
        <&EventId>::try_from(event.as_str()).map_err(|_| PduError::InvalidId(field))?;
    }
    Ok(events)
}

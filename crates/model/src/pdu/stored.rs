//! Reading an event from its record: one byte of room version, then its canonical JSON.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, events::TimelineEventType};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{DEPTH_MAX, Pdu, PduError, authorised};
use crate::{canonical_json::NotCanonical, room_version::RoomVersion};

/// A record that this version of Kontor did not write.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    /// The first byte names no supported room version.
    #[error("the record of an event begins with the unknown room version {0:?}")]
    RoomVersion(Option<u8>),
    /// The rest is not the JSON of an event.
    #[error("the record of an event is damaged: {0}")]
    Json(#[from] serde_json::Error),
    /// Only the create event of version 12 may lack a room id.
    #[error("the record of an event has no room id")]
    NoRoomId,
}

impl From<BadRecord> for PduError {
    fn from(record: BadRecord) -> Self {
        match record {
            BadRecord::Json(error) => Self::NotCanonical(NotCanonical::from(error)),
            BadRecord::NoRoomId | BadRecord::RoomVersion(_) => Self::Missing("room_id"),
        }
    }
}

/// The fields of an event, borrowed from its bytes where that saves a copy.
#[derive(Deserialize)]
struct Fields<'a> {
    auth_events: Vec<OwnedEventId>,
    #[serde(borrow)]
    content: &'a RawValue,
    depth: u64,
    origin_server_ts: u64,
    prev_events: Vec<OwnedEventId>,
    #[serde(borrow)]
    redacts: Option<&'a RawValue>,
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    state_key: Option<Arc<str>>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
}

pub(super) fn read(record: Bytes, event_id: OwnedEventId) -> Result<Pdu, BadRecord> {
    let first = record.first().copied();
    let version = first.and_then(RoomVersion::from_byte).ok_or(BadRecord::RoomVersion(first))?;
    let fields: Fields<'_> = serde_json::from_slice(&record[1..])?;
    let kind = authorised::kind(&fields.event_type);
    let redacts = match kind {
        TimelineEventType::RoomRedaction => redacts(&fields, version),
        _ => None,
    };
    let room_id = match fields.room_id {
        Some(room_id) => room_id,
        None if kind == TimelineEventType::RoomCreate => {
            RoomId::new_v2(event_id.localpart()).map_err(|_| BadRecord::NoRoomId)?
        }
        None => return Err(BadRecord::NoRoomId),
    };
    Ok(Pdu {
        event_id,
        room_id,
        sender: fields.sender,
        event_type: fields.event_type.into(),
        state_key: fields.state_key,
        prev_events: fields.prev_events,
        auth_events: fields.auth_events,
        depth: fields.depth.min(DEPTH_MAX),
        origin_server_ts: fields.origin_server_ts,
        redacts,
        room_version: version,
        rejected: false,
        content_for_auth: authorised::content(&kind, fields.content),
        content: fields.content.to_owned(),
        kind,
        record,
    })
}

/// The target of a redaction. A target that is no event id redacts nothing, and is no error: the
/// specification does not check it on receipt.
fn redacts(fields: &Fields<'_>, version: RoomVersion) -> Option<OwnedEventId> {
    #[derive(Deserialize)]
    struct Content {
        redacts: OwnedEventId,
    }
    // Since v11: the redacts property was moved from the top level to content.
    if version.redacts_in_content() {
        let content: Content = serde_json::from_str(fields.content.get()).ok()?;
        return Some(content.redacts);
    }
    serde_json::from_str(fields.redacts?.get()).ok()
}

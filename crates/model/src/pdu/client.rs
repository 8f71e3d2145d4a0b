//! The form in which clients and appservices see an event.
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#room-event-format>.

use std::borrow::Cow;

use ruma::{EventId, RoomId, UserId, events::TimelineEventType};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::Pdu;

/// Which of the two forms of an event a response wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFormat {
    /// Without `room_id`, as /sync sends events below their room.
    Sync,
    /// With `room_id`, as every other endpoint and the appservice API send them.
    Full,
}

#[derive(Serialize)]
struct ClientEvent<'a> {
    content: Cow<'a, RawValue>,
    event_id: &'a EventId,
    origin_server_ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacts: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a RoomId>,
    sender: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<&'a str>,
    #[serde(rename = "type")]
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsigned: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct StrippedEvent<'a> {
    content: &'a RawValue,
    sender: &'a UserId,
    state_key: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
}

impl Pdu {
    /// The event for clients, with the `unsigned` that the caller made for the one who reads it.
    pub fn to_client_event(
        &self,
        format: ClientFormat,
        unsigned: Option<&RawValue>,
    ) -> Box<RawValue> {
        raw(&ClientEvent {
            content: self.client_content(),
            event_id: &self.event_id,
            origin_server_ts: self.origin_server_ts,
            redacts: self.redacts.as_deref(),
            room_id: (format == ClientFormat::Full).then_some(&*self.room_id),
            sender: &self.sender,
            state_key: self.state_key.as_deref(),
            event_type: &self.event_type,
            unsigned,
        })
    }

    /// The event as stripped state: what invited and knocking users see of a room. `None` if it is
    /// not a state event.
    pub fn to_stripped_event(&self) -> Option<Box<RawValue>> {
        Some(raw(&StrippedEvent {
            content: &self.content,
            sender: &self.sender,
            state_key: self.state_key.as_deref()?,
            event_type: &self.event_type,
        }))
    }

    /// The content for clients. It differs from what was sent in one case.
    ///
    /// Room version 11: "For improved compatibility with newer clients, servers should add a
    /// `redacts` property to the `content` of `m.room.redaction` events in older room versions when
    /// serving such events over the Client-Server API." (The top level gets it in every version.)
    fn client_content(&self) -> Cow<'_, RawValue> {
        let (TimelineEventType::RoomRedaction, Some(target), false) =
            (&self.kind, &self.redacts, self.room_version.redacts_in_content())
        else {
            return Cow::Borrowed(&self.content);
        };
        let mut content: serde_json::Map<String, serde_json::Value> =
            self.content_as().unwrap_or_default();
        content.insert("redacts".to_owned(), target.as_str().into());
        Cow::Owned(raw(&content))
    }
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    // Structs and maps with string keys cannot fail to become JSON.
    to_raw_value(value).unwrap_or_else(|error| panic!("an event did not become JSON: {error}"))
}

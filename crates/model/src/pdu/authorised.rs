//! How the authorisation rules and state resolution of ruma see an event.
//!
//! ruma reads some event types as aliases of others (an unstable name and its stable one). For it
//! two state events with such types would be one and the same entry of the state. They are not: the
//! specification compares types as strings. So a type that ruma would rename is shown to it as a
//! custom type with a prefix that no type of an accepted rule can have, and the `events` of
//! `m.room.power_levels`, in which the authorisation rules look types up, get the same prefix.

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, UInt, UserId, events::TimelineEventType,
    state_res::Event,
};
use serde_json::value::{RawValue, to_raw_value};

use super::Pdu;

/// Stands before a type that ruma would rename.
const VERBATIM: &str = "\u{0}";

/// The type for ruma and for matching.
pub(crate) fn kind(event_type: &str) -> TimelineEventType {
    verbatim(event_type)
        .map_or_else(|| TimelineEventType::from(event_type), TimelineEventType::from)
}

/// The prefixed name, if ruma would rename this type.
fn verbatim(event_type: &str) -> Option<String> {
    let renamed = TimelineEventType::from(event_type).to_string() != event_type;
    (renamed || event_type.starts_with(VERBATIM)).then(|| format!("{VERBATIM}{event_type}"))
}

/// The content of power levels with renamed types prefixed; `None` if there are none.
pub(super) fn content(kind: &TimelineEventType, content: &RawValue) -> Option<Box<RawValue>> {
    if *kind != TimelineEventType::RoomPowerLevels {
        return None;
    }
    let mut object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(content.get()).ok()?;
    let events = object.get_mut("events")?.as_object_mut()?;
    let renamed: Vec<(String, String)> =
        events.keys().filter_map(|key| Some((key.clone(), verbatim(key)?))).collect();
    if renamed.is_empty() {
        return None;
    }
    for (from, to) in renamed {
        if let Some(level) = events.remove(&from) {
            events.insert(to, level);
        }
    }
    to_raw_value(&object).ok()
}

impl Event for Pdu {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        // Since v12, if the create event has a room_id, reject: so ruma must see that it has none.
        let derived = self.kind == TimelineEventType::RoomCreate
            && self.room_version.room_id_is_create_hash();
        (!derived).then_some(&*self.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(UInt::new_saturating(self.origin_server_ts))
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.kind
    }

    fn content(&self) -> &RawValue {
        self.content_for_auth.as_deref().unwrap_or(&self.content)
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}

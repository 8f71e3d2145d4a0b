//! How the authorisation rules and state resolution of ruma see an event.
//!
//! ruma reads some event types as aliases of others (an unstable name and its stable one). For it
//! two state events with such types would be one and the same entry of the state. They are not: the
//! specification compares types as strings. So a type that ruma would rename is shown to it as a
//! custom type with a prefix that no type of an accepted rule can have, and the `events` of
//! `m.room.power_levels`, in which the authorisation rules look types up, get the same prefix.
//!
//! And ruma is stricter than other servers with user ids in power levels ([`stand_in`]) and with join
//! rules that are absent ([`implied`]).

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, UInt, UserId, events::TimelineEventType,
    state_res::Event,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};
use sha2::{Digest, Sha256};

use super::{Pdu, implied};

/// Stands before a type that ruma would rename.
const VERBATIM: &str = "\u{0}";
/// The server of users that stand for others; no server has this name.
const NOBODYS_SERVER: &str = ":unreadable.invalid";

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

/// What ruma reads instead of the content, if that is something else.
pub(super) fn content(kind: &TimelineEventType, content: &RawValue) -> Option<Box<RawValue>> {
    levels(kind, content).or_else(|| implied::rule(kind, content))
}

/// The content of power levels with other names for types and users that need them; `None` if there
/// are none.
fn levels(kind: &TimelineEventType, content: &RawValue) -> Option<Box<RawValue>> {
    if *kind != TimelineEventType::RoomPowerLevels {
        return None;
    }
    let mut object: Map<String, Value> = serde_json::from_str(content.get()).ok()?;
    let types = rename(&mut object, "events", verbatim);
    let users = rename(&mut object, "users", stand_in);
    (types || users).then(|| to_raw_value(&object).ok()).flatten()
}

/// Renames entries of an object in the object; says whether there were any to be renamed.
fn rename(
    object: &mut Map<String, Value>,
    field: &str,
    other_name: fn(&str) -> Option<String>,
) -> bool {
    let Some(entries) = object.get_mut(field).and_then(Value::as_object_mut) else { return false };
    let renamed: Vec<(String, String)> =
        entries.keys().filter_map(|name| Some((name.clone(), other_name(name)?))).collect();
    for (from, to) in &renamed {
        if let Some(level) = entries.remove(from) {
            entries.insert(to.clone(), level);
        }
    }
    !renamed.is_empty()
}

/// Who stands in power levels for a user whose id ruma cannot read. To Synapse everything that looks
/// like `@…:…` is a user id, also one with a blank at its end that somebody has overlooked; a server
/// that rejects such power levels falls out of the room.
fn stand_in(user: &str) -> Option<String> {
    let looks_right = user.starts_with('@') && user.contains(':');
    let is_taken = user.ends_with(NOBODYS_SERVER);
    (looks_right && (is_taken || <&UserId>::try_from(user).is_err())).then(|| {
        let name = URL_SAFE_NO_PAD.encode(Sha256::digest(user));
        format!("@{name}{NOBODYS_SERVER}")
    })
}

/// Whether power levels name users whose ids are not valid.
pub(crate) fn names_unreadable_users(content: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Content {
        users: HashMap<String, IgnoredAny>,
    }
    let content: Option<Content> = serde_json::from_str(content.get()).ok();
    let mut users = content.iter().flat_map(|content| content.users.keys());
    users.any(|user| <&UserId>::try_from(&**user).is_err())
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

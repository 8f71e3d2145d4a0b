//! What a user sees of a room that he is invited to, or has knocked on.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#stripped-state>.

use kv::StoreError;
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;
use store::memberships::Membership;

use crate::{client_event::EventView, reader::RoomView};

/// "Stripped state": the parts of a room's state that tell what room it is.
pub const TYPES: [&str; 8] = [
    "m.room.create",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.encryption",
    "m.room.history_visibility",
];

/// The stripped state that goes with the user's membership: what the other server sent along, or
/// what the room's own state says.
pub(super) fn state(
    room: &RoomView<'_>,
    membership: &Membership,
) -> Result<Vec<Box<RawValue>>, StoreError> {
    if let Some(stripped) = &membership.stripped_state {
        return Ok(serde_json::from_str(stripped).unwrap_or_default());
    }
    let Some(event) = membership.event.map(|number| room.stored(number)).transpose()?.flatten()
    else {
        return Ok(Vec::new());
    };
    let mut numbers = Vec::with_capacity(TYPES.len() + 2);
    if let Some(root) = event.record.state_after {
        let state = room.rows.state(root);
        for event_type in TYPES {
            numbers.extend(state.entry(event_type, "")?.map(|entry| entry.event));
        }
        // Who invites, so that the invitation has a name and a face.
        let sender = EventView::read(&event)?.sender.into_owned();
        numbers.extend(state.entry("m.room.member", &sender)?.map(|entry| entry.event));
    }
    numbers.retain(|number| *number != event.number);
    let mut events = room.stored_all(&numbers)?;
    events.push(event);
    let views = events.iter().map(EventView::read).collect::<Result<Vec<_>, _>>()?;
    Ok(views.iter().filter_map(EventView::to_stripped_json).collect())
}

/// Who invited the user, as the stripped state says that came with the invitation.
pub(super) fn inviter(membership: &Membership, user: &UserId) -> Option<OwnedUserId> {
    #[derive(Deserialize)]
    struct Stripped {
        sender: OwnedUserId,
        #[serde(rename = "type")]
        event_type: String,
        state_key: String,
    }
    let stripped: Vec<Box<RawValue>> =
        serde_json::from_str(membership.stripped_state.as_deref()?).ok()?;
    let mut stripped =
        stripped.iter().filter_map(|event| serde_json::from_str::<Stripped>(event.get()).ok());
    let own = |event: &Stripped| event.event_type == "m.room.member" && *user == *event.state_key;
    stripped.find(own).map(|event| event.sender)
}

//! A user's rooms, sorted and filtered.

use kv::StoreError;
use model::RoomNumber;
use serde::Deserialize;
use store::{
    events::{self, Order},
    memberships::{Kind, Membership},
};

use super::request::Filters;
use crate::{client_event::EventView, reader::RoomView, timeline::token};

/// A room of the user, as lists see it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub kind: Kind,
    /// Position of its last activity.
    pub bump: u64,
    /// Position after which it has not changed.
    pub changed: u64,
    encrypted: bool,
    room_type: Option<String>,
}

/// Events that bring a room to the top of a list.
const BUMPING: [&str; 8] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    "m.beacon_info",
];
/// Events that are looked at to find the last one that does.
const LOOKED_AT_MAX: usize = 20;

impl Listed {
    pub fn read(
        room: &RoomView<'_>,
        membership: &Membership,
        until: u64,
    ) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Create {
            #[serde(rename = "type")]
            room_type: Option<String>,
        }
        let joined = membership.kind == Kind::Join;
        let mut listed = Self {
            kind: membership.kind,
            bump: membership.since,
            changed: until,
            encrypted: false,
            room_type: None,
        };
        if !joined {
            return Ok(listed);
        }
        let state = room.rows.state(room.state_at(until)?);
        listed.encrypted = state.entry("m.room.encryption", "")?.is_some();
        if let Some(create) = state.entry("m.room.create", "")?
            && let Some(create) = room.stored(create.event)?
        {
            let content = EventView::read(&create)?.content;
            listed.room_type =
                serde_json::from_str::<Create>(content.get()).ok().and_then(|it| it.room_type);
        }
        listed.bump = last_activity(room, until)?.unwrap_or(membership.since);
        Ok(listed)
    }

    /// Whether the room is in a list with these filters.
    pub fn passes(&self, filters: Option<&Filters>, is_dm: bool) -> bool {
        let Some(filters) = filters else { return true };
        let is_type = |types: &[Option<String>]| types.contains(&self.room_type);
        filters.is_dm.is_none_or(|wanted| wanted == is_dm)
            && filters.is_encrypted.is_none_or(|wanted| wanted == self.encrypted)
            && filters.is_invite.is_none_or(|wanted| wanted == (self.kind == Kind::Invite))
            && filters.room_types.as_deref().is_none_or(is_type)
            && !filters.not_room_types.as_deref().is_some_and(is_type)
    }

    /// Whether the room is in lists at all.
    pub fn is_current(&self) -> bool {
        matches!(self.kind, Kind::Join | Kind::Invite | Kind::Knock)
    }
}

/// The newest rooms first.
pub(super) fn sort(rooms: &mut [(RoomNumber, u64)]) {
    rooms.sort_unstable_by_key(|(room, bump)| std::cmp::Reverse((*bump, *room)));
}

fn last_activity(room: &RoomView<'_>, until: u64) -> Result<Option<u64>, StoreError> {
    let range = (Order::MIN, token::after_position(until));
    let (snapshot, number) = (room.rows.snapshot, room.rows.room);
    let rows = events::timeline(snapshot, number, range, true, LOOKED_AT_MAX)?;
    let numbers: Vec<_> = rows.iter().map(|(_, number)| *number).collect();
    for (event, (order, _)) in room.stored_all(&numbers)?.iter().zip(&rows) {
        if BUMPING.contains(&&*EventView::read(event)?.event_type) {
            return Ok(u64::try_from(order.0).ok());
        }
    }
    Ok(rows.first().and_then(|(order, _)| u64::try_from(order.0).ok()))
}

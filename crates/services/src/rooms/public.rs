//! The list of published rooms, and what it shows of each.

use kv::StoreError;
use model::pdu::Pdu;
use ruma::{
    OwnedMxcUri, OwnedRoomAliasId, RoomId, ServerName, UInt, UserId,
    directory::{PublicRoomsChunk, RoomTypeFilter},
    room::{JoinRuleKind, RoomType},
};
use serde::Deserialize;
use store::{
    aliases,
    memberships::{self, Kind},
    value::corrupt,
};

use super::{Rooms, WriteError, remote::RemoteError};
use crate::room_rows::{RoomRows, StateRows};

/// Which published rooms are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub limit: usize,
    /// A token of an earlier page.
    pub since: Option<String>,
    /// Must be part of the name, topic or alias, whatever its case.
    pub search: Option<String>,
    /// Empty: all types.
    pub room_types: Vec<RoomTypeFilter>,
}

/// A page of published rooms, those with most members first.
#[derive(Clone, Debug, Default)]
pub struct PublicRooms {
    pub chunk: Vec<PublicRoomsChunk>,
    pub next_batch: Option<String>,
    pub prev_batch: Option<String>,
    pub total: Option<UInt>,
}

impl Rooms {
    /// A page of our own list.
    pub async fn public_rooms(&self, wanted: Wanted) -> Result<PublicRooms, StoreError> {
        let salt = self.context().state_salt;
        let store = &self.context().store;
        let rooms = store.read(move |snapshot| {
            let rooms = aliases::published(snapshot)?.into_iter();
            let rows = rooms.map(|room| RoomRows { snapshot, room, salt });
            rows.filter_map(|rows| summary(rows).transpose()).collect::<Result<Vec<_>, _>>()
        });
        Ok(page(rooms.await?, &wanted))
    }

    /// A page of another server's list.
    pub async fn public_rooms_of(
        &self,
        server: &ServerName,
        wanted: Wanted,
    ) -> Result<PublicRooms, RemoteError> {
        self.remote()?.public_rooms(server, wanted).await
    }

    /// Whether a user may see what kind of room it is: he is in it, or everybody may look.
    pub async fn may_look_into(&self, room_id: &RoomId, user: &UserId) -> Result<bool, WriteError> {
        let Some(room) = self.find(room_id).await? else { return Ok(false) };
        let user = user.localpart().to_owned();
        let open = self.read(room.number, move |rows| {
            let membership = memberships::get(rows.snapshot, &user, rows.room)?;
            let is_in = membership.is_some_and(|membership| membership.kind == Kind::Join);
            Ok(is_in || summary(rows)?.is_some_and(|summary| summary.world_readable))
        });
        Ok(open.await?)
    }
}

/// What the list shows of a room; `None` for a room without state.
pub fn summary(rows: RoomRows<'_>) -> Result<Option<PublicRoomsChunk>, StoreError> {
    let Some(head) = store::rooms::head(rows.snapshot, rows.room)? else { return Ok(None) };
    let room_id = RoomId::parse(head.room_id).map_err(|_| corrupt("room id"))?;
    let state = rows.state(head.state);
    let Some(create) = state.event("m.room.create", "")? else { return Ok(None) };
    let servers = memberships::servers(rows.snapshot, rows.room)?;
    let joined: u64 = servers.iter().map(|(_, presence)| presence.joined).sum();
    let text = |event_type: &str, field: &str| -> Result<Option<String>, StoreError> {
        Ok(field_of(state, event_type, field)?.filter(|text: &String| !text.is_empty()))
    };
    let history: Option<String> = text("m.room.history_visibility", "history_visibility")?;
    let guests: Option<String> = text("m.room.guest_access", "guest_access")?;
    let avatar_url: Option<OwnedMxcUri> = field_of(state, "m.room.avatar", "url")?;
    let alias: Option<OwnedRoomAliasId> = field_of(state, "m.room.canonical_alias", "alias")?;
    let join_rule: Option<JoinRuleKind> = field_of(state, "m.room.join_rules", "join_rule")?;
    Ok(Some(PublicRoomsChunk {
        canonical_alias: alias,
        name: text("m.room.name", "name")?,
        num_joined_members: UInt::new_saturating(joined),
        room_id,
        topic: text("m.room.topic", "topic")?,
        world_readable: history.as_deref() == Some("world_readable"),
        guest_can_join: guests.as_deref() == Some("can_join"),
        avatar_url,
        join_rule: join_rule.unwrap_or(JoinRuleKind::Invite),
        room_type: field(&create.pdu, "type"),
    }))
}

fn field_of<T: for<'de> Deserialize<'de>>(
    state: StateRows<'_>,
    event_type: &str,
    name: &str,
) -> Result<Option<T>, StoreError> {
    Ok(state.event(event_type, "")?.and_then(|event| field(&event.pdu, name)))
}

/// A field of an event's content, if it is of the right type.
fn field<T: for<'de> Deserialize<'de>>(event: &Pdu, name: &str) -> Option<T> {
    let mut content: serde_json::Map<String, serde_json::Value> = event.content_as()?;
    serde_json::from_value(content.remove(name)?).ok()
}

fn page(mut rooms: Vec<PublicRoomsChunk>, wanted: &Wanted) -> PublicRooms {
    rooms.retain(|room| matches(room, wanted));
    rooms.sort_by(|a, b| {
        (b.num_joined_members, &a.room_id).cmp(&(a.num_joined_members, &b.room_id))
    });
    let total = rooms.len();
    let start = wanted.since.as_deref().and_then(offset).unwrap_or(0).min(total);
    let end = (start + wanted.limit).min(total);
    PublicRooms {
        chunk: rooms.drain(start..end).collect(),
        next_batch: (end < total).then(|| token(end)),
        prev_batch: (start > 0).then(|| token(start.saturating_sub(wanted.limit))),
        total: UInt::try_from(total).ok(),
    }
}

fn matches(room: &PublicRoomsChunk, wanted: &Wanted) -> bool {
    let types = &wanted.room_types;
    let of_type = types.is_empty()
        || types.iter().any(|wanted| match (wanted, &room.room_type) {
            (RoomTypeFilter::Default, None) => true,
            (RoomTypeFilter::Space, Some(RoomType::Space)) => true,
            (other, Some(room_type)) => other.as_str() == Some(room_type.as_str()),
            (_, None) => false,
        });
    let Some(search) = wanted.search.as_ref().filter(|search| !search.is_empty()) else {
        return of_type;
    };
    let search = search.to_lowercase();
    let alias = room.canonical_alias.as_ref().map(|alias| alias.as_str());
    let texts = [room.name.as_deref(), room.topic.as_deref(), alias];
    of_type && texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&search))
}

fn token(offset: usize) -> String {
    format!("p{offset}")
}

fn offset(token: &str) -> Option<usize> {
    token.strip_prefix('p')?.parse().ok()
}

//! One room, as far as a user or a server from outside may see it.

use kv::{Snapshot, StoreError};
use model::{acl::ServerAcl, event_auth, membership::Membership, state_tree::StateTree};
use ruma::{OwnedRoomId, RoomId, ServerName, UserId};
use serde_json::{Value, json};
use store::memberships::{self, Kind};

use super::{SPACE, SpaceRoom, Summary};
use crate::{
    room_rows::{Event, RoomRows, StateRows},
    rooms::public,
};

/// Who looks.
#[derive(Clone, Copy)]
pub(super) enum Visitor<'a> {
    User(&'a UserId),
    Server(&'a ServerName),
}

/// Links of one space that are looked at.
const CHILDREN_MAX: usize = 1_000;
/// "Strings which are longer than 50 characters" are no order.
const ORDER_CHARACTERS_MAX: usize = 50;

/// The room's rows, if this homeserver is in it and keeps its state current.
pub(super) fn resident<'a>(
    snapshot: &'a Snapshot,
    salt: [u8; 16],
    us: &ServerName,
    room_id: &RoomId,
) -> Result<Option<RoomRows<'a>>, StoreError> {
    let Some(room) = store::rooms::number(snapshot, room_id)? else { return Ok(None) };
    let presence = memberships::server_in_room(snapshot, us.as_str(), room)?;
    let rows = RoomRows { snapshot, room, salt };
    Ok(presence.is_some_and(|presence| presence.joined > 0).then_some(rows))
}

/// The room, if the visitor may see it.
pub(super) fn room(
    rows: RoomRows<'_>,
    visitor: Visitor<'_>,
) -> Result<Option<SpaceRoom>, StoreError> {
    let Some(head) = store::rooms::head(rows.snapshot, rows.room)?.filter(|head| !head.blocked)
    else {
        return Ok(None);
    };
    let state = rows.state(head.state);
    let Some(summary) = summary(rows, state, head.room_version)? else { return Ok(None) };
    if let Visitor::Server(server) = visitor {
        let acl = state.event("m.room.server_acl", "")?;
        if acl.is_some_and(|acl| !ServerAcl::of(&acl.pdu).allows(server)) {
            return Ok(None);
        }
    }
    if !is_open(rows.snapshot, rows.salt, &summary, visitor)? {
        return Ok(None);
    }
    let is_space = summary.room_type.as_deref() == Some(SPACE);
    let children_state = if is_space { children(state)? } else { Vec::new() };
    Ok(Some(SpaceRoom { summary, children_state }))
}

/// Whether the visitor may see a room of which this is told: everybody may look or come in, or he
/// may, or (a server) one of its users may.
pub(super) fn is_open(
    snapshot: &Snapshot,
    salt: [u8; 16],
    summary: &Summary,
    visitor: Visitor<'_>,
) -> Result<bool, StoreError> {
    let rule = summary.join_rule.as_deref();
    if summary.world_readable || matches!(rule, Some("public" | "knock" | "knock_restricted")) {
        return Ok(true);
    }
    let is_in = |room_id: &RoomId, kinds: &[Kind]| match visitor {
        Visitor::User(user) => relation(snapshot, user, room_id, kinds),
        Visitor::Server(server) => has_users(snapshot, salt, server, room_id, kinds),
    };
    if is_in(&summary.room_id, &[Kind::Join, Kind::Invite])? {
        return Ok(true);
    }
    if rule == Some("restricted") {
        for allowed in &summary.allowed_room_ids {
            if is_in(allowed, &[Kind::Join])? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn relation(
    snapshot: &Snapshot,
    user: &UserId,
    room_id: &RoomId,
    kinds: &[Kind],
) -> Result<bool, StoreError> {
    let Some(room) = store::rooms::number(snapshot, room_id)? else { return Ok(false) };
    let row = memberships::get(snapshot, user.localpart(), room)?;
    Ok(row.is_some_and(|row| kinds.contains(&row.kind)))
}

/// Whether users of the server are in the room (or, if that is asked for, invited to it).
fn has_users(
    snapshot: &Snapshot,
    salt: [u8; 16],
    server: &ServerName,
    room_id: &RoomId,
    kinds: &[Kind],
) -> Result<bool, StoreError> {
    let Some(room) = store::rooms::number(snapshot, room_id)? else { return Ok(false) };
    let presence = memberships::server_in_room(snapshot, server.as_str(), room)?;
    if presence.is_some_and(|presence| presence.joined > 0) {
        return Ok(true);
    }
    if !kinds.contains(&Kind::Invite) {
        return Ok(false);
    }
    let rows = RoomRows { snapshot, room, salt };
    let Some(head) = store::rooms::head(snapshot, room)? else { return Ok(false) };
    let members = StateTree::new(salt).entries_of_type(&rows, head.state, "m.room.member");
    for member in members {
        let member = member?;
        let invited = member.entry.membership == Some(Membership::Invite);
        let user = <&UserId>::try_from(member.state_key.as_str());
        if invited && user.is_ok_and(|user| user.server_name() == server) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn summary(
    rows: RoomRows<'_>,
    state: StateRows<'_>,
    room_version: String,
) -> Result<Option<Summary>, StoreError> {
    let Some(listed) = public::summary(rows)? else { return Ok(None) };
    let rules = state.event("m.room.join_rules", "")?;
    let allowed = rules.as_ref().and_then(|rules| event_auth::rooms_that_allow(&rules.pdu));
    let encryption = state.event("m.room.encryption", "")?;
    let algorithm = encryption.and_then(|event| {
        let content: Value = event.pdu.content_as()?;
        content["algorithm"].as_str().map(str::to_owned)
    });
    Ok(Some(Summary {
        room_id: listed.room_id,
        canonical_alias: listed.canonical_alias.map(Into::into),
        name: listed.name,
        topic: listed.topic,
        avatar_url: listed.avatar_url.map(Into::into),
        room_type: listed.room_type.map(|room_type| room_type.to_string()),
        join_rule: Some(listed.join_rule.to_string()),
        allowed_room_ids: allowed.unwrap_or_default(),
        encryption: algorithm,
        room_version: Some(room_version),
        num_joined_members: listed.num_joined_members.into(),
        world_readable: listed.world_readable,
        guest_can_join: listed.guest_can_join,
    }))
}

/// The space's links, stripped, in the order that clients show them in.
fn children(state: StateRows<'_>) -> Result<Vec<Value>, StoreError> {
    let rows = state.rows;
    let links = StateTree::new(rows.salt).entries_of_type(&rows, state.root, "m.space.child");
    let numbers = links.take(CHILDREN_MAX).map(|item| Ok(item?.entry.event));
    let numbers = numbers.collect::<Result<Vec<_>, StoreError>>()?;
    let mut children: Vec<_> = rows.events(&numbers)?.iter().filter_map(child).collect();
    // "children with a valid order", then those without; then by time, then by room id.
    children.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(children.into_iter().map(|(_, child)| child).collect())
}

/// Where a link stands among others.
type Place = (bool, String, u64, OwnedRoomId);

fn child(event: &Event) -> Option<(Place, Value)> {
    let pdu = &event.pdu;
    let room_id = RoomId::parse(pdu.state_key.as_deref()?).ok()?;
    let content: Value = pdu.content_as()?;
    // "If not present, the child is not considered valid."
    content["via"].as_array().filter(|via| !via.is_empty())?;
    let order = content["order"].as_str().filter(|order| is_order(order)).map(str::to_owned);
    let place = (order.is_none(), order.unwrap_or_default(), pdu.origin_server_ts, room_id);
    let stripped = json!({
        "type": pdu.event_type,
        "state_key": pdu.state_key,
        "sender": pdu.sender,
        "content": content,
        "origin_server_ts": pdu.origin_server_ts,
    });
    Some((place, stripped))
}

fn is_order(order: &str) -> bool {
    order.len() <= ORDER_CHARACTERS_MAX && order.bytes().all(|byte| (0x20..=0x7E).contains(&byte))
}

pub(super) fn membership(kind: Kind) -> Membership {
    match kind {
        Kind::Join => Membership::Join,
        Kind::Invite => Membership::Invite,
        Kind::Knock => Membership::Knock,
        Kind::Leave => Membership::Leave,
        Kind::Ban => Membership::Ban,
    }
}

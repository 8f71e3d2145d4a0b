//! Who sees a user's presence: those who share a room with him.

use std::collections::{BTreeSet, HashSet};

use kv::{Snapshot, StoreError};
use model::{RoomNumber, membership::Membership};
use ruma::{OwnedServerName, ServerName, UserId};
use store::memberships::{self, Kind};

use crate::{Context, room_rows::RoomRows};

/// Rooms of a user that are looked at.
const ROOMS_MAX: usize = 500;
/// Rooms with more members do not count: in a crowd nobody looks who is there, and everybody would
/// have to be told of everybody.
const MEMBERS_MAX: u64 = 1_000;

/// Local users, by localpart, and other servers.
#[derive(Clone, Debug, Default)]
pub(super) struct Audience {
    users: HashSet<String>,
    pub(super) servers: Vec<OwnedServerName>,
}

impl Audience {
    pub(super) fn has(&self, localpart: &str) -> bool {
        self.users.contains(localpart)
    }

    pub(super) fn is_somebody(&self) -> bool {
        !self.users.is_empty()
    }
}

pub(super) fn of(
    context: &Context,
    rows: &Snapshot,
    user: &UserId,
) -> Result<Audience, StoreError> {
    let mut users = HashSet::new();
    let mut servers: BTreeSet<String> = BTreeSet::new();
    for room in rooms_of(context, rows, user)?.into_iter().take(ROOMS_MAX) {
        let here = memberships::servers(rows, room)?;
        let joined: u64 = here.iter().map(|(_, presence)| presence.joined).sum();
        if joined > MEMBERS_MAX || !is_joined(context, rows, room, user)? {
            continue;
        }
        users.extend(memberships::joined_locally(rows, room)?);
        let others = here.into_iter().filter(|(_, presence)| presence.joined > 0);
        servers.extend(others.map(|(server, _)| server));
    }
    servers.remove(context.server_name.as_str());
    let servers = servers.iter().filter_map(|server| ServerName::parse(server).ok()).collect();
    Ok(Audience { users, servers })
}

/// The rooms in which the user may be.
fn rooms_of(
    context: &Context,
    rows: &Snapshot,
    user: &UserId,
) -> Result<Vec<RoomNumber>, StoreError> {
    if !context.is_local(user) {
        return memberships::rooms_of_server(rows, user.server_name().as_str());
    }
    let rooms = memberships::of_user(rows, user.localpart())?.into_iter();
    Ok(rooms.filter(|(_, found)| found.kind == Kind::Join).map(|(room, _)| room).collect())
}

fn is_joined(
    context: &Context,
    snapshot: &Snapshot,
    room: RoomNumber,
    user: &UserId,
) -> Result<bool, StoreError> {
    if context.is_local(user) {
        return Ok(true);
    }
    let Some(head) = store::rooms::head(snapshot, room)? else { return Ok(false) };
    let rows = RoomRows { snapshot, room, salt: context.state_salt };
    let member = rows.state(head.state).entry("m.room.member", user.as_str())?;
    Ok(member.and_then(|member| member.membership) == Some(Membership::Join))
}

//! Whose keys changed, among those with whom one shares a room.

use std::collections::BTreeSet;

use kv::{Snapshot, StoreError};
use model::RoomNumber;
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};
use store::{
    device_keys,
    memberships::{self, Kind},
};

use super::Keys;
use crate::{room_rows::RoomRows, sessions::Caller};

impl Keys {
    /// The users who changed devices or keys in `(from, to]` and share a room with the caller, or
    /// are he himself.
    pub async fn changed(
        &self,
        caller: &Caller,
        span: (u64, u64),
    ) -> Result<Vec<OwnedUserId>, StoreError> {
        let (context, caller) = (self.context.clone(), caller.user_id.clone());
        self.context
            .store
            .read(move |rows| {
                let changed = device_keys::changed(rows, span)?.into_iter();
                let changed: BTreeSet<String> = changed.map(|(_, user)| user).collect();
                let own = rooms_of(rows, caller.localpart())?;
                let mut users = Vec::new();
                for user in changed.iter().filter_map(|user| UserId::parse(user.as_str()).ok()) {
                    let shares = if user == caller {
                        true
                    } else if context.is_local(&user) {
                        !rooms_of(rows, user.localpart())?.is_disjoint(&own)
                    } else {
                        is_in_one_of(rows, &own, &user, context.state_salt)?
                    };
                    if shares {
                        users.push(user);
                    }
                }
                Ok(users)
            })
            .await
    }
}

/// The rooms that a local user is joined to.
fn rooms_of(rows: &Snapshot, localpart: &str) -> Result<BTreeSet<RoomNumber>, StoreError> {
    let rooms = memberships::of_user(rows, localpart)?.into_iter();
    Ok(rooms.filter(|(_, found)| found.kind == Kind::Join).map(|(room, _)| room).collect())
}

/// Whether a user of another server is joined to one of the rooms.
fn is_in_one_of(
    rows: &Snapshot,
    rooms: &BTreeSet<RoomNumber>,
    user: &UserId,
    salt: [u8; 16],
) -> Result<bool, StoreError> {
    for room in memberships::rooms_of_server(rows, user.server_name().as_str())? {
        let Some(head) = store::rooms::head(rows, room)?.filter(|_| rooms.contains(&room)) else {
            continue;
        };
        let room = RoomRows { snapshot: rows, room, salt };
        if room.state(head.state).membership(user)? == MembershipState::Join {
            return Ok(true);
        }
    }
    Ok(false)
}

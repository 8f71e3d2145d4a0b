//! Whose devices changed, for servers that share a room with the user.

use kv::{Snapshot, StoreError};
use ruma::{ServerName, UserId};
use serde_json::{json, value::to_raw_value};
use store::{
    device_keys, devices,
    memberships::{self, Kind},
};

use super::Pending;

/// Users whose changes are told at once.
const USERS_MAX: usize = 50;

/// Adds one EDU for each user of ours whose devices or keys changed within what is pending.
///
/// It names a predecessor that nobody was told of, so the server asks for the whole list: that is
/// right whatever it knew, however many changes there were, and also when devices are gone.
/// <https://spec.matrix.org/v1.19/server-server-api/#device-management>
pub(super) fn add(
    snapshot: &Snapshot,
    us: &ServerName,
    server: &ServerName,
    pending: &mut Pending,
) -> Result<(), StoreError> {
    let position = |order: i64| u64::try_from(order).unwrap_or(0);
    let range = (position(pending.from.0), position(pending.to.0));
    let mut told = Vec::new();
    for (changed_at, user_id) in device_keys::changed(snapshot, range)? {
        let Ok(user) = UserId::parse(&*user_id) else { continue };
        if user.server_name() != us || !shares_room(snapshot, user.localpart(), server)? {
            continue;
        }
        let devices = devices::of_user(snapshot, user.localpart())?;
        let device = devices.first().map_or("NONE", |(device_id, _)| device_id.as_str());
        let edu = json!({ "edu_type": "m.device_list_update", "content": {
            "user_id": user,
            "device_id": device,
            "stream_id": changed_at,
            "prev_id": [changed_at.saturating_sub(1)],
            "deleted": devices.is_empty(),
        } });
        told.push(to_raw_value(&edu).ok());
    }
    // Each user is in the stream once, so more of them at once means that the server was away for
    // long: it has to ask for what it wants to know.
    let newest = told.len().saturating_sub(USERS_MAX);
    pending.edus.extend(told.into_iter().skip(newest).flatten());
    Ok(())
}

fn shares_room(
    snapshot: &Snapshot,
    localpart: &str,
    server: &ServerName,
) -> Result<bool, StoreError> {
    for (room, membership) in memberships::of_user(snapshot, localpart)? {
        if membership.kind != Kind::Join {
            continue;
        }
        let presence = memberships::server_in_room(snapshot, server.as_str(), room)?;
        if presence.is_some_and(|presence| presence.joined > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

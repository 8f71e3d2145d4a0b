//! How far our users have read, for a server that shares the room.

use std::collections::BTreeMap;

use kv::{Snapshot, StoreError};
use model::RoomNumber;
use ruma::{OwnedUserId, ServerName};
use serde_json::{Value, json, value::to_raw_value};
use store::{
    memberships,
    receipts::{self, Kind, Receipt, Thread},
    rooms,
};

use super::Pending;

/// Receipts of a room that are told at once; the newest ones.
const RECEIPTS_MAX: usize = 500;

/// Adds the public receipts of our users that moved within what is pending. In one EDU a user has
/// one receipt of a room, so those of several threads make several EDUs.
pub(super) fn add(
    snapshot: &Snapshot,
    us: &ServerName,
    server: &ServerName,
    room: RoomNumber,
    pending: &mut Pending,
) -> Result<(), StoreError> {
    let presence = memberships::server_in_room(snapshot, server.as_str(), room)?;
    if presence.is_none_or(|presence| presence.joined == 0) {
        return Ok(());
    }
    let position = |order: i64| u64::try_from(order).unwrap_or(0);
    let range = (position(pending.from.0), position(pending.to.0));
    let moved = receipts::changed(snapshot, room, range, RECEIPTS_MAX)?;
    let ours = moved.into_iter().filter(|receipt| {
        receipt.owner.kind == Kind::Public && receipt.owner.user.server_name() == us
    });
    let mut edus: Vec<BTreeMap<OwnedUserId, Value>> = Vec::new();
    for receipt in ours {
        let user = &receipt.owner.user;
        let free = edus.iter_mut().find(|edu| !edu.contains_key(user));
        match free {
            Some(edu) => {
                edu.insert(user.clone(), told(&receipt));
            }
            None => edus.push(BTreeMap::from([(user.clone(), told(&receipt))])),
        }
    }
    if edus.is_empty() {
        return Ok(());
    }
    let Some(head) = rooms::head(snapshot, room)? else { return Ok(()) };
    for edu in edus {
        let content = json!({ head.room_id.as_str(): { "m.read": edu } });
        let edu = json!({ "edu_type": "m.receipt", "content": content });
        pending.edus.extend(to_raw_value(&edu).ok());
    }
    Ok(())
}

fn told(receipt: &Receipt) -> Value {
    let mut data = json!({ "ts": receipt.ts_ms });
    match &receipt.owner.thread {
        Thread::Unthreaded => {}
        Thread::Main => data["thread_id"] = json!("main"),
        Thread::Root(root) => data["thread_id"] = json!(root),
    }
    json!({ "data": data, "event_ids": [receipt.event_id] })
}

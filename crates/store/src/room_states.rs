//! Which state a room had at a position of the log.
//!
//! The writer of a room calls [`put`] in every commit that changes the root in the room's head: by
//! a state event, by resolving a fork, or by joining through another server.

use bytes::Bytes;
use kv::{Batch, KeyWriter, Snapshot, StoreError};
use model::RoomNumber;

use crate::{ROOM_STATE, value};

/// The room's state is the tree with this root from the position of this commit on.
pub fn put(batch: &mut Batch, room: RoomNumber, root: &[u8; 16]) {
    batch.put_at_version(ROOM_STATE, key(room), Bytes::new(), value::encode(root));
}

/// The root of the room's state just after `position`; `None` when it had none yet.
pub fn at(
    snapshot: &Snapshot,
    room: RoomNumber,
    position: u64,
) -> Result<Option<[u8; 16]>, StoreError> {
    let to = KeyWriter::new().rest(key(room)).u64(position.saturating_add(1)).finish();
    let page = snapshot.scan(ROOM_STATE, &key(room), &to, true, 1)?;
    page.rows.first().map(|(_, root)| value::decode(root)).transpose()
}

/// Calls `visit` with the root of every state that the room had.
pub fn each(
    snapshot: &Snapshot,
    room: RoomNumber,
    mut visit: impl FnMut([u8; 16]),
) -> Result<(), StoreError> {
    snapshot.scan_prefix(ROOM_STATE, &key(room), |_, root| {
        visit(value::decode(&root)?);
        Ok(())
    })
}

fn key(room: RoomNumber) -> Bytes {
    KeyWriter::new().u64(room.0).finish()
}

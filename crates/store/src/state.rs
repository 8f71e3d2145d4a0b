//! Nodes of the rooms' state trees.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Snapshot, StoreError};
use model::RoomNumber;

use crate::{STATE_NODE, value};

pub fn node(
    snapshot: &Snapshot,
    room: RoomNumber,
    id: &[u8; 16],
) -> Result<Option<Bytes>, StoreError> {
    snapshot.get(STATE_NODE, &key(room, id))
}

pub fn put_node(batch: &mut Batch, room: RoomNumber, id: &[u8; 16], node: impl Into<Bytes>) {
    batch.put(STATE_NODE, key(room, id), node);
}

pub fn remove_node(batch: &mut Batch, room: RoomNumber, id: &[u8; 16]) {
    batch.delete(STATE_NODE, key(room, id));
}

/// Calls `visit` with the id of every node of the room.
pub fn each_node(
    snapshot: &Snapshot,
    room: RoomNumber,
    mut visit: impl FnMut([u8; 16]),
) -> Result<(), StoreError> {
    let prefix = KeyWriter::new().u64(room.0).finish();
    snapshot.scan_prefix(STATE_NODE, &prefix, |key, _| {
        let mut key = KeyReader(key);
        let id = key.u64().and_then(|_| key.rest().try_into().ok());
        visit(id.ok_or_else(|| value::corrupt("state node key"))?);
        Ok(())
    })
}

fn key(room: RoomNumber, id: &[u8; 16]) -> Bytes {
    KeyWriter::new().u64(room.0).rest(id).finish()
}

//! Nodes of the rooms' state trees.

use bytes::Bytes;
use kv::{Batch, KeyWriter, Snapshot, StoreError};
use model::RoomNumber;

use crate::STATE_NODE;

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

fn key(room: RoomNumber, id: &[u8; 16]) -> Bytes {
    KeyWriter::new().u64(room.0).rest(id).finish()
}

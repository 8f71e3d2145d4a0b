//! Events that other servers sent and that were acknowledged, but not taken in yet. They wait in
//! the order in which they came, room by room.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Op, Snapshot, StoreError};
use model::RoomNumber;
use serde::{Deserialize, Serialize};

use crate::{STAGED, value};

/// An event that waits. Nothing of it was verified but whom it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The server that sent it, which need not be its sender's.
    pub origin: String,
    pub room_id: String,
    pub json: String,
}

/// Names a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StagedKey(Bytes);

/// Lets the event wait. `index` is its place among those of the same batch.
pub fn put(batch: &mut Batch, room: RoomNumber, index: u16, staged: &Staged) {
    batch.ops.push(Op::PutAtVersion {
        table: STAGED,
        prefix: KeyWriter::new().u64(room.0).finish(),
        suffix: Bytes::copy_from_slice(&index.to_be_bytes()),
        value: value::encode(staged),
    });
}

/// What waits for the room, oldest first, and came after a row.
pub fn of_room(
    snapshot: &Snapshot,
    room: RoomNumber,
    after: Option<&StagedKey>,
    limit: usize,
) -> Result<Vec<(StagedKey, Staged)>, StoreError> {
    let prefix = KeyWriter::new().u64(room.0).finish();
    let from = after.map_or_else(|| prefix.clone(), |StagedKey(key)| kv::after_prefix(key));
    let page = snapshot.scan(STAGED, &from, &kv::after_prefix(&prefix), false, limit)?;
    let item = |(key, row): (Bytes, Bytes)| Ok((StagedKey(key), value::decode(&row)?));
    page.rows.into_iter().map(item).collect()
}

pub fn remove(batch: &mut Batch, key: StagedKey) {
    batch.delete(STAGED, key.0);
}

/// The rooms for which something waits.
pub fn rooms(snapshot: &Snapshot) -> Result<Vec<RoomNumber>, StoreError> {
    let (mut rooms, mut from) = (Vec::new(), Bytes::new());
    let end = kv::after_prefix(&[]);
    loop {
        // One row of each room: the rest of it is skipped.
        let page = snapshot.scan(STAGED, &from, &end, false, 1)?;
        let Some((key, _)) = page.rows.first() else { return Ok(rooms) };
        let room = KeyReader(key).u64().ok_or_else(|| value::corrupt("staged event"))?;
        from = kv::after_prefix(&KeyWriter::new().u64(room).finish());
        rooms.push(RoomNumber(room));
    }
}

//! Rooms: their numbers, and the head that a room's writer moves forward.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Snapshot, StoreError};
use model::{EventNumber, RoomNumber};
use ruma::RoomId;
use serde::{Deserialize, Serialize};

use crate::{ROOM, ROOM_NUMBER, value};

/// Where a room stands. Rewritten by every commit to the room; each such commit requires the
/// value that it started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomHead {
    pub room_id: String,
    pub room_version: String,
    /// Events that no other event of ours names as previous.
    pub extremities: Vec<Extremity>,
    /// Root of the state after all extremities.
    pub state: [u8; 16],
    /// The greatest depth among the extremities.
    pub depth: u64,
    /// The number that the next stored event takes.
    pub next_event: u64,
    /// The order that the next backfilled event takes: counts down from −1.
    pub next_backfill: i64,
    /// No local user may read or write the room any more (all left, and it was purged or blocked).
    pub blocked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extremity {
    pub number: EventNumber,
    pub event_id: String,
    /// Root of the state after it.
    pub state: [u8; 16],
}

pub fn number(snapshot: &Snapshot, room_id: &RoomId) -> Result<Option<RoomNumber>, StoreError> {
    let row = snapshot.get(ROOM_NUMBER, room_id.as_bytes())?;
    row.map(|row| value::decode(&row)).transpose()
}

pub fn put_number(batch: &mut Batch, room_id: &RoomId, room: RoomNumber) {
    batch.put(ROOM_NUMBER, room_id.as_bytes().to_vec(), value::encode(&room));
}

pub fn head(snapshot: &Snapshot, room: RoomNumber) -> Result<Option<RoomHead>, StoreError> {
    snapshot.get(ROOM, &head_key(room))?.map(|row| value::decode(&row)).transpose()
}

/// [`head`] of several rooms; one round trip.
pub fn heads(
    snapshot: &Snapshot,
    rooms: &[RoomNumber],
) -> Result<Vec<Option<RoomHead>>, StoreError> {
    let keys: Vec<Bytes> = rooms.iter().map(|room| head_key(*room)).collect();
    let rows = snapshot.multi_get(ROOM, &keys)?.into_iter();
    rows.map(|row| row.map(|row| value::decode(&row)).transpose()).collect()
}

pub fn put_head(batch: &mut Batch, room: RoomNumber, head: &RoomHead) {
    batch.put(ROOM, head_key(room), value::encode(head));
}

/// Lets the batch fail unless the room still stands at `head` (`None`: does not exist yet).
pub fn require_head(batch: &mut Batch, room: RoomNumber, head: Option<&RoomHead>) {
    let key = head_key(room);
    batch.require(match head {
        Some(head) => kv::Precondition::Equals(ROOM, key, value::encode(head)),
        None => kv::Precondition::Absent(ROOM, key),
    });
}

/// How many events the room had when its unused state nodes were last collected; 0 if never.
pub fn collected(snapshot: &Snapshot, room: RoomNumber) -> Result<u64, StoreError> {
    let row = snapshot.get(ROOM, &collected_key(room))?;
    row.map_or(Ok(0), |row| value::decode(&row))
}

pub fn put_collected(batch: &mut Batch, room: RoomNumber, events: u64) {
    batch.put(ROOM, collected_key(room), value::encode(&events));
}

/// All rooms of the homeserver.
pub fn all(snapshot: &Snapshot) -> Result<Vec<(RoomNumber, RoomHead)>, StoreError> {
    let mut rooms = Vec::new();
    snapshot.scan_prefix(ROOM, &[HEAD], |key, row| {
        let mut key = KeyReader(&key[1..]);
        let room = key.u64().ok_or_else(|| value::corrupt("room number"))?;
        rooms.push((RoomNumber(room), value::decode(&row)?));
        Ok(())
    })?;
    Ok(rooms)
}

/// First byte of a head's key; directory rows share the table under another one.
const HEAD: u8 = b'h';
const COLLECTED: u8 = b'c';

fn head_key(room: RoomNumber) -> Bytes {
    KeyWriter::new().u8(HEAD).u64(room.0).finish()
}

fn collected_key(room: RoomNumber) -> Bytes {
    KeyWriter::new().u8(COLLECTED).u64(room.0).finish()
}

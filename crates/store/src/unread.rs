//! How much a user has not read in a room, counted up to a place in its timeline.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv::{Batch, KeyWriter, Snapshot, StoreError};
use model::RoomNumber;
use serde::{Deserialize, Serialize};

use crate::{UNREAD, events::Order, value};

/// Counts, and what they were counted from. Threads are named as in receipts: `main`, or the root's
/// event id; the empty name is the receipt without thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Everything up to here is counted.
    pub until: Order,
    /// The position at which the user's push rules were written; 0: never.
    pub rules: u64,
    /// The position at which the list of users that the user ignores was written; 0: never.
    pub ignored: u64,
    /// Where the user's receipts stood.
    pub reads: BTreeMap<String, Order>,
    /// The user's own newest event in each thread: whoever writes has read.
    pub own: BTreeMap<String, Order>,
    /// Threads without a count are not in here.
    pub counts: BTreeMap<String, Count>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub notifications: u64,
    /// Those of them that stand out.
    pub highlights: u64,
}

pub fn checkpoint(
    snapshot: &Snapshot,
    localpart: &str,
    room: RoomNumber,
) -> Result<Option<Checkpoint>, StoreError> {
    snapshot.get(UNREAD, &key(localpart, room))?.map(|row| value::decode(&row)).transpose()
}

pub fn put_checkpoint(
    batch: &mut Batch,
    localpart: &str,
    room: RoomNumber,
    checkpoint: &Checkpoint,
) {
    batch.put(UNREAD, key(localpart, room), value::encode(checkpoint));
}

fn key(localpart: &str, room: RoomNumber) -> Bytes {
    KeyWriter::new().part(localpart).u64(room.0).finish()
}

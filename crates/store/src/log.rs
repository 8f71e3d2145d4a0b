//! The one log: what changed at each position.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Snapshot, StoreError};
use model::{EventNumber, RoomNumber};
use serde::{Deserialize, Serialize};

use crate::{LOG, value};

/// One thing that a commit changed, for those who follow the log. Local users are named by their
/// localpart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Events entered the room's timeline, in this order.
    Events { room: RoomNumber, events: Vec<EventNumber> },
    /// Something of the room changed that is not in the timeline: state after a fork was resolved,
    /// or after a join through another server.
    RoomState { room: RoomNumber },
    /// A local user's membership of the room changed (also: forgotten).
    Membership { user: String, room: RoomNumber },
    /// A receipt of any user (a full user id) in the room.
    Receipt { room: RoomNumber, user: String },
    /// A local user's account data, global or of a room; also tags and push rules.
    AccountData { user: String, room: Option<RoomNumber> },
    /// A message for a local user's device.
    ToDevice { user: String, device: String },
    /// A user (a full user id) changed devices or keys.
    DeviceList { user: String },
    /// A local user's account, sessions or devices changed.
    Account { user: String },
    /// A local user's profile changed; his member events are to follow.
    Profile { user: String },
    /// Something waits to be sent to another server.
    Outbound { server: String },
    /// Nothing that a follower wants to know (staging, caches, media).
    Nothing,
    /// An event that was stored before is shown in another way now: it was redacted, it came into
    /// the timeline, or something relates to it that is bundled with it.
    EventAltered { room: RoomNumber, event_id: String },
}

/// What one commit changed.
pub type LogEntry = Vec<Change>;

/// Adds the entry to the batch, at the position that the batch gets.
pub fn append(batch: &mut Batch, entry: &LogEntry) {
    batch.put_at_version(LOG, Bytes::new(), Bytes::new(), value::encode(entry));
}

/// The entries after `position`, oldest first, with their positions; at most a page.
pub fn after(snapshot: &Snapshot, position: u64) -> Result<Vec<(u64, LogEntry)>, StoreError> {
    let from = KeyWriter::new().u64(position + 1).finish();
    let to = kv::after_prefix(&[]);
    let page = snapshot.scan(LOG, &from, &to, false, kv::PAGE_ROWS_MAX)?;
    let entry = |(key, row): (Bytes, Bytes)| {
        let position = KeyReader(&key).u64().ok_or_else(|| value::corrupt("log position"))?;
        Ok((position, value::decode(&row)?))
    };
    page.rows.into_iter().map(entry).collect()
}

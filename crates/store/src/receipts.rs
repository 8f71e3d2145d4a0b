//! Receipts: how far each user has read each thread of a room.
//!
//! Each receipt is in two rows: one that finds it by its owner, and one in the room's stream at the
//! position at which it last moved. When it moves, its old row leaves the stream, so that reading
//! the stream after a position costs what changed:
//! - `c` ‖ room ‖ user ‖ kind ‖ thread → stamped receipt
//! - `s` ‖ room ‖ position ‖ user ‖ kind ‖ thread → receipt

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Precondition, Snapshot, StoreError};
use model::RoomNumber;
use ruma::{OwnedEventId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{RECEIPT, value};

/// Whose receipt, and of what. There is one at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    pub user: OwnedUserId,
    pub kind: Kind,
    pub thread: Thread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `m.read`: everybody in the room sees it.
    Public,
    /// `m.read.private`: only its owner sees it.
    Private,
}

/// Which part of the room's timeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Thread {
    /// The whole timeline, threads or not.
    Unthreaded,
    /// What is in no thread.
    Main,
    Root(OwnedEventId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub owner: Owner,
    /// The newest event that was read.
    pub event_id: OwnedEventId,
    /// When it was read, as the user's server says.
    pub ts_ms: u64,
    /// The log position at which the receipt came to stand here.
    pub position: u64,
}

#[derive(Serialize, Deserialize)]
struct Row {
    event_id: OwnedEventId,
    ts_ms: u64,
}

pub fn get(
    snapshot: &Snapshot,
    room: RoomNumber,
    owner: &Owner,
) -> Result<Option<Receipt>, StoreError> {
    let row = snapshot.get(RECEIPT, &current_key(room, owner))?;
    row.map(|row| read_current(owner.clone(), &row)).transpose()
}

/// All receipts of one user in the room.
pub fn of_user(
    snapshot: &Snapshot,
    room: RoomNumber,
    user: &UserId,
) -> Result<Vec<Receipt>, StoreError> {
    let prefix = KeyWriter::new().u8(CURRENT).u64(room.0).part(user.as_str()).finish();
    let mut receipts = Vec::new();
    snapshot.scan_prefix(RECEIPT, &prefix, |key, row| {
        let owner = read_owner(KeyReader(&key[ROOM_PREFIX_BYTES..]));
        let owner = owner.ok_or_else(|| value::corrupt("receipt key"))?;
        receipts.push(read_current(owner, &row)?);
        Ok(())
    })?;
    Ok(receipts)
}

/// Receipts that moved at positions in `after + 1 ..= until`, newest first; at most `limit`.
pub fn changed(
    snapshot: &Snapshot,
    room: RoomNumber,
    (after, until): (u64, u64),
    limit: usize,
) -> Result<Vec<Receipt>, StoreError> {
    let at = |position: u64| KeyWriter::new().u8(STREAM).u64(room.0).u64(position).finish();
    let (from, to) = (at(after.saturating_add(1)), at(until.saturating_add(1)));
    let page = snapshot.scan(RECEIPT, &from, &to, true, limit)?;
    let receipt = |(key, row): (Bytes, Bytes)| {
        let mut key = KeyReader(&key[ROOM_PREFIX_BYTES..]);
        let position = key.u64().ok_or_else(|| value::corrupt("receipt position"))?;
        let owner = read_owner(key).ok_or_else(|| value::corrupt("receipt key"))?;
        let Row { event_id, ts_ms } = value::decode(&row)?;
        Ok(Receipt { owner, event_id, ts_ms, position })
    };
    page.rows.into_iter().map(receipt).collect()
}

/// Moves a receipt from where it stands (`before`, as it was read) to another event. The batch
/// fails if somebody else moved it meanwhile.
pub fn replace(
    batch: &mut Batch,
    room: RoomNumber,
    before: Option<&Receipt>,
    (owner, event_id, ts_ms): (&Owner, OwnedEventId, u64),
) {
    let key = current_key(room, owner);
    match before {
        None => batch.require(Precondition::Absent(RECEIPT, key.clone())),
        Some(before) => {
            let row =
                value::encode(&Row { event_id: before.event_id.clone(), ts_ms: before.ts_ms });
            let stamped = [&before.position.to_be_bytes()[..], &row].concat();
            batch.require(Precondition::Equals(RECEIPT, key.clone(), stamped.into()));
            let old = KeyWriter::new().u8(STREAM).u64(room.0).u64(before.position);
            batch.delete(RECEIPT, write_owner(old, owner));
        }
    }
    let row = value::encode(&Row { event_id, ts_ms });
    batch.put_stamped(RECEIPT, key, row.clone());
    let prefix = KeyWriter::new().u8(STREAM).u64(room.0).finish();
    batch.put_at_version(RECEIPT, prefix, write_owner(KeyWriter::new(), owner), row);
}

const CURRENT: u8 = b'c';
const STREAM: u8 = b's';
/// The first byte and the room.
const ROOM_PREFIX_BYTES: usize = 9;

const PUBLIC: u8 = 1;
const PRIVATE: u8 = 2;

fn current_key(room: RoomNumber, owner: &Owner) -> Bytes {
    write_owner(KeyWriter::new().u8(CURRENT).u64(room.0), owner)
}

fn write_owner(key: KeyWriter, owner: &Owner) -> Bytes {
    let kind = match owner.kind {
        Kind::Public => PUBLIC,
        Kind::Private => PRIVATE,
    };
    // An event id starts with `$`, so it cannot be one of the two words.
    let thread = owner.thread.as_str().unwrap_or("");
    key.part(owner.user.as_str()).u8(kind).rest(thread).finish()
}

fn read_owner(mut key: KeyReader<'_>) -> Option<Owner> {
    let user = std::str::from_utf8(key.part()?).ok()?;
    let kind = match key.u8()? {
        PUBLIC => Kind::Public,
        PRIVATE => Kind::Private,
        _ => return None,
    };
    let thread = match std::str::from_utf8(key.rest()).ok()? {
        "" => Thread::Unthreaded,
        thread => Thread::parse(thread)?,
    };
    Some(Owner { user: user.try_into().ok()?, kind, thread })
}

fn read_current(owner: Owner, row: &Bytes) -> Result<Receipt, StoreError> {
    let (position, row) = value::unstamp(row)?;
    let Row { event_id, ts_ms } = value::decode(&row)?;
    Ok(Receipt { owner, event_id, ts_ms, position })
}

impl Thread {
    /// A thread as clients and servers write it: `main` or an event id.
    pub fn parse(thread: &str) -> Option<Self> {
        match thread {
            "main" => Some(Self::Main),
            root => Some(Self::Root(root.try_into().ok()?)),
        }
    }

    /// The same in the other direction; a receipt without thread has no word for it.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Unthreaded => None,
            Self::Main => Some("main"),
            Self::Root(root) => Some(root.as_str()),
        }
    }
}

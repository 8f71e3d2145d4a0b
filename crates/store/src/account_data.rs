//! What clients keep for a user: by type, globally or for a room. Tags and push rules are account
//! data too.
//!
//! Each row carries the position at which it was written, and a second row per user leads from
//! that position back to it, so that finding what changed costs what changed.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Op, Precondition, Snapshot, StoreError};
use model::RoomNumber;

use crate::{ACCOUNT_DATA, value};

/// One piece of account data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// `None` when it is global.
    pub room: Option<RoomNumber>,
    pub kind: String,
    /// The content's JSON text.
    pub content: Bytes,
    /// Log position at which it was written.
    pub since: u64,
}

/// First byte of a key: the data, or the way from a position to it.
const DATA_ROW: u8 = b'd';
const STREAM_ROW: u8 = b's';

pub fn get(
    snapshot: &Snapshot,
    localpart: &str,
    room: Option<RoomNumber>,
    kind: &str,
) -> Result<Option<Item>, StoreError> {
    let row = snapshot.get(ACCOUNT_DATA, &data_key(localpart, room, kind))?;
    row.map(|row| read(room, kind.to_owned(), &row)).transpose()
}

/// Everything global, or everything of one room.
pub fn of(
    snapshot: &Snapshot,
    localpart: &str,
    room: Option<RoomNumber>,
) -> Result<Vec<Item>, StoreError> {
    let prefix = data_key(localpart, room, "");
    let mut items = Vec::new();
    snapshot.scan_prefix(ACCOUNT_DATA, &prefix, |key, row| {
        items.push(read(room, text(&key[prefix.len()..])?, &row)?);
        Ok(())
    })?;
    Ok(items)
}

/// What changed after the position, in the order in which it changed. Costs what changed, however
/// many rooms the user is in.
pub fn changed_since(
    snapshot: &Snapshot,
    localpart: &str,
    since: u64,
) -> Result<Vec<Item>, StoreError> {
    let user = stream_prefix(localpart);
    let mut from = KeyWriter::new().rest(&user).u64(since.saturating_add(1)).finish();
    let to = kv::after_prefix(&user);
    let mut items = Vec::new();
    loop {
        let page = snapshot.scan(ACCOUNT_DATA, &from, &to, false, kv::PAGE_ROWS_MAX)?;
        let Some((last, _)) = page.rows.last() else { return Ok(items) };
        from = KeyWriter::new().rest(last).u8(0).finish();
        for (key, _) in &page.rows {
            items.extend(current(snapshot, localpart, &key[user.len()..])?);
        }
        if !page.more {
            return Ok(items);
        }
    }
}

/// The row to which a row of the stream leads, unless it was written again since.
fn current(
    snapshot: &Snapshot,
    localpart: &str,
    stream: &[u8],
) -> Result<Option<Item>, StoreError> {
    let mut key = KeyReader(stream);
    let position = key.u64().ok_or_else(|| value::corrupt("account data stream"))?;
    let room = key.u64().ok_or_else(|| value::corrupt("account data stream"))?;
    let kind = text(key.rest())?;
    let item = get(snapshot, localpart, numbered(room), &kind)?;
    Ok(item.filter(|item| item.since == position))
}

/// Writes the content. `replaced` is the item that the same snapshot holds, whose way in the
/// stream ends; if somebody else writes in between, a dead end is left, which readers skip.
pub fn put(
    batch: &mut Batch,
    localpart: &str,
    (room, kind): (Option<RoomNumber>, &str),
    content: &[u8],
    replaced: Option<&Item>,
) {
    if let Some(replaced) = replaced {
        let prefix = KeyWriter::new().rest(stream_prefix(localpart)).u64(replaced.since);
        batch.delete(ACCOUNT_DATA, prefix.rest(stream_suffix(room, kind)).finish());
    }
    let content = value::encode_with(&(), content);
    batch.put_stamped(ACCOUNT_DATA, data_key(localpart, room, kind), content);
    batch.ops.push(Op::PutAtVersion {
        table: ACCOUNT_DATA,
        prefix: stream_prefix(localpart),
        suffix: stream_suffix(room, kind),
        value: value::encode(&()),
    });
}

/// Lets the batch fail unless the item still is as it was read (`None`: does not exist yet). For
/// content that is made out of the content before.
pub fn require(
    batch: &mut Batch,
    localpart: &str,
    (room, kind): (Option<RoomNumber>, &str),
    item: Option<&Item>,
) {
    let key = data_key(localpart, room, kind);
    batch.require(match item {
        Some(item) => {
            let row = KeyWriter::new().u64(item.since);
            let row = row.rest(value::encode_with(&(), &item.content)).finish();
            Precondition::Equals(ACCOUNT_DATA, key, row)
        }
        None => Precondition::Absent(ACCOUNT_DATA, key),
    });
}

/// Deletes all account data of a user.
pub fn delete_all(batch: &mut Batch, localpart: &str) {
    for row in [DATA_ROW, STREAM_ROW] {
        let prefix = KeyWriter::new().u8(row).part(localpart).finish();
        let end = kv::after_prefix(&prefix);
        batch.ops.push(Op::DeleteRange(ACCOUNT_DATA, prefix, end));
    }
}

fn read(room: Option<RoomNumber>, kind: String, row: &Bytes) -> Result<Item, StoreError> {
    let (since, row) = value::unstamp(row)?;
    let ((), content) = value::decode_with(&row)?;
    Ok(Item { room, kind, content, since })
}

fn text(bytes: &[u8]) -> Result<String, StoreError> {
    let text = std::str::from_utf8(bytes).map_err(|_| value::corrupt("account data type"))?;
    Ok(text.to_owned())
}

/// Rooms are numbered from 1; 0 stands for what is global.
fn number(room: Option<RoomNumber>) -> u64 {
    room.map_or(0, |room| room.0)
}

fn numbered(number: u64) -> Option<RoomNumber> {
    (number > 0).then_some(RoomNumber(number))
}

fn data_key(localpart: &str, room: Option<RoomNumber>, kind: &str) -> Bytes {
    KeyWriter::new().u8(DATA_ROW).part(localpart).u64(number(room)).rest(kind).finish()
}

fn stream_prefix(localpart: &str) -> Bytes {
    KeyWriter::new().u8(STREAM_ROW).part(localpart).finish()
}

fn stream_suffix(room: Option<RoomNumber>, kind: &str) -> Bytes {
    KeyWriter::new().u64(number(room)).rest(kind).finish()
}

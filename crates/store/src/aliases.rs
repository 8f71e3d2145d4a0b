//! Aliases of this homeserver, and the rooms that its directory lists.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Precondition, Snapshot, StoreError};
use model::RoomNumber;
use serde::{Deserialize, Serialize};

use crate::{ALIAS, value};

/// Where an alias points. It is named by its localpart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    pub room_id: String,
    pub room: RoomNumber,
    /// The full id of the user who made it.
    pub creator: String,
}

pub fn get(snapshot: &Snapshot, alias: &str) -> Result<Option<Alias>, StoreError> {
    snapshot.get(ALIAS, &key(alias))?.map(|row| value::decode(&row)).transpose()
}

/// The batch fails if the alias is taken meanwhile.
pub fn put(batch: &mut Batch, alias: &str, row: &Alias) {
    batch.require(Precondition::Absent(ALIAS, key(alias)));
    batch.put(ALIAS, key(alias), value::encode(row));
    batch.put(ALIAS, of_room_key(row.room, alias), value::encode(&()));
}

/// Lets an alias lead to another room. The batch fails if the alias was changed meanwhile.
pub fn retarget(batch: &mut Batch, alias: &str, old: &Alias, new: &Alias) {
    batch.require(Precondition::Equals(ALIAS, key(alias), value::encode(old)));
    batch.delete(ALIAS, of_room_key(old.room, alias));
    batch.put(ALIAS, key(alias), value::encode(new));
    batch.put(ALIAS, of_room_key(new.room, alias), value::encode(&()));
}

pub fn delete(batch: &mut Batch, alias: &str, room: RoomNumber) {
    batch.delete(ALIAS, key(alias));
    batch.delete(ALIAS, of_room_key(room, alias));
}

/// The localparts of the room's aliases.
pub fn of_room(snapshot: &Snapshot, room: RoomNumber) -> Result<Vec<String>, StoreError> {
    let prefix = of_room_key(room, "");
    let mut aliases = Vec::new();
    snapshot.scan_prefix(ALIAS, &prefix, |key, _| {
        let alias = std::str::from_utf8(&key[prefix.len()..]);
        aliases.push(alias.map_err(|_| value::corrupt("alias"))?.to_owned());
        Ok(())
    })?;
    Ok(aliases)
}

pub fn set_published(batch: &mut Batch, room: RoomNumber, published: bool) {
    if published {
        batch.put(ALIAS, published_key(room), value::encode(&()));
    } else {
        batch.delete(ALIAS, published_key(room));
    }
}

pub fn is_published(snapshot: &Snapshot, room: RoomNumber) -> Result<bool, StoreError> {
    Ok(snapshot.get(ALIAS, &published_key(room))?.is_some())
}

/// All rooms that the directory lists.
pub fn published(snapshot: &Snapshot) -> Result<Vec<RoomNumber>, StoreError> {
    let mut rooms = Vec::new();
    snapshot.scan_prefix(ALIAS, &[PUBLISHED], |key, _| {
        let room = KeyReader(&key[1..]).u64();
        rooms.push(RoomNumber(room.ok_or_else(|| value::corrupt("published room"))?));
        Ok(())
    })?;
    Ok(rooms)
}

const BY_ALIAS: u8 = 1;
const BY_ROOM: u8 = 2;
const PUBLISHED: u8 = 3;

fn key(alias: &str) -> Bytes {
    KeyWriter::new().u8(BY_ALIAS).rest(alias).finish()
}

fn of_room_key(room: RoomNumber, alias: &str) -> Bytes {
    KeyWriter::new().u8(BY_ROOM).u64(room.0).rest(alias).finish()
}

fn published_key(room: RoomNumber) -> Bytes {
    KeyWriter::new().u8(PUBLISHED).u64(room.0).finish()
}

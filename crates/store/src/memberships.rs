//! Who is where: the rooms of a local user, the local users of a room, the servers of a room.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Snapshot, StoreError};
use model::{EventNumber, RoomNumber};
use serde::{Deserialize, Serialize};

use crate::{MEMBERSHIP, ROOM_MEMBERSHIP, ROOM_SERVER, value};

/// A local user's relation to a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub kind: Kind,
    /// The member event, when it is stored in the room; an invite or knock to a room that this
    /// server is not in has none.
    pub event: Option<EventNumber>,
    /// Id of the invite or knock that is not stored in the room; what ends it builds on it.
    pub opened_by: Option<String>,
    /// Log position at which it became so; the commit fills it in.
    #[serde(skip)]
    pub since: u64,
    /// What the inviting or knocked server told of the room (stripped state, a JSON array); once
    /// that is over, an array of the event that ended it, as clients see it.
    pub stripped_state: Option<String>,
    /// The user forgot the room: it is in none of his lists.
    pub forgotten: bool,
    /// An invitation that came while the user was joined: what ends his stay is still on its way.
    pub overtaking: Option<Invitation>,
}

/// An invitation to a room that this server will not be in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub event_id: String,
    pub depth: u64,
    pub stripped_state: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Join,
    Invite,
    Knock,
    Leave,
    Ban,
}

/// A local user's relation to one room.
pub fn get(
    snapshot: &Snapshot,
    localpart: &str,
    room: RoomNumber,
) -> Result<Option<Membership>, StoreError> {
    let row = snapshot.get(MEMBERSHIP, &user_key(localpart, room))?;
    row.map(|row| read(&row)).transpose()
}

/// All rooms that a local user has a relation to.
pub fn of_user(
    snapshot: &Snapshot,
    localpart: &str,
) -> Result<Vec<(RoomNumber, Membership)>, StoreError> {
    let prefix = KeyWriter::new().part(localpart).finish();
    let mut rooms = Vec::new();
    snapshot.scan_prefix(MEMBERSHIP, &prefix, |key, row| {
        let room = KeyReader(&key[prefix.len()..]).u64();
        let room = room.ok_or_else(|| value::corrupt("membership key"))?;
        rooms.push((RoomNumber(room), read(&row)?));
        Ok(())
    })?;
    Ok(rooms)
}

/// Localparts of the local users who are joined to the room.
pub fn joined_locally(snapshot: &Snapshot, room: RoomNumber) -> Result<Vec<String>, StoreError> {
    let prefix = KeyWriter::new().u64(room.0).finish();
    let mut users = Vec::new();
    snapshot.scan_prefix(ROOM_MEMBERSHIP, &prefix, |key, _| {
        let user = std::str::from_utf8(&key[prefix.len()..]);
        users.push(user.map_err(|_| value::corrupt("localpart"))?.to_owned());
        Ok(())
    })?;
    Ok(users)
}

pub fn put(batch: &mut Batch, localpart: &str, room: RoomNumber, membership: &Membership) {
    batch.put_stamped(MEMBERSHIP, user_key(localpart, room), value::encode(membership));
    let of_room = KeyWriter::new().u64(room.0).rest(localpart).finish();
    if membership.kind == Kind::Join {
        batch.put(ROOM_MEMBERSHIP, of_room, value::encode(&()));
    } else {
        batch.delete(ROOM_MEMBERSHIP, of_room);
    }
}

fn read(row: &Bytes) -> Result<Membership, StoreError> {
    let (since, row) = value::unstamp(row)?;
    Ok(Membership { since, ..value::decode(&row)? })
}

/// A server's presence in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInRoom {
    /// Users of that server who are joined.
    pub joined: u64,
    /// The event that brought its first user, the last time that it had none before.
    pub since: EventNumber,
    /// The event with which its last user left; what comes after it is not for that server.
    pub until: Option<EventNumber>,
}

pub fn server_in_room(
    snapshot: &Snapshot,
    server: &str,
    room: RoomNumber,
) -> Result<Option<ServerInRoom>, StoreError> {
    let row = snapshot.get(ROOM_SERVER, &room_server_key(room, server))?;
    row.map(|row| value::decode(&row)).transpose()
}

/// Every server that is or was in the room.
pub fn servers(
    snapshot: &Snapshot,
    room: RoomNumber,
) -> Result<Vec<(String, ServerInRoom)>, StoreError> {
    let prefix = KeyWriter::new().u8(BY_ROOM).u64(room.0).finish();
    let mut servers = Vec::new();
    snapshot.scan_prefix(ROOM_SERVER, &prefix, |key, row| {
        let server = std::str::from_utf8(&key[prefix.len()..]);
        let server = server.map_err(|_| value::corrupt("server name"))?;
        servers.push((server.to_owned(), value::decode(&row)?));
        Ok(())
    })?;
    Ok(servers)
}

/// Every room that the server is or was in.
pub fn rooms_of_server(snapshot: &Snapshot, server: &str) -> Result<Vec<RoomNumber>, StoreError> {
    let prefix = KeyWriter::new().u8(BY_SERVER).part(server).finish();
    let mut rooms = Vec::new();
    snapshot.scan_prefix(ROOM_SERVER, &prefix, |key, _| {
        let room = KeyReader(&key[prefix.len()..]).u64();
        rooms.push(RoomNumber(room.ok_or_else(|| value::corrupt("room of server"))?));
        Ok(())
    })?;
    Ok(rooms)
}

pub fn put_server(batch: &mut Batch, server: &str, room: RoomNumber, presence: &ServerInRoom) {
    batch.put(ROOM_SERVER, room_server_key(room, server), value::encode(presence));
    let of_server = KeyWriter::new().u8(BY_SERVER).part(server).u64(room.0).finish();
    batch.put(ROOM_SERVER, of_server, value::encode(&()));
}

const BY_ROOM: u8 = 1;
const BY_SERVER: u8 = 2;

fn room_server_key(room: RoomNumber, server: &str) -> Bytes {
    KeyWriter::new().u8(BY_ROOM).u64(room.0).rest(server).finish()
}

fn user_key(localpart: &str, room: RoomNumber) -> Bytes {
    KeyWriter::new().part(localpart).u64(room.0).finish()
}

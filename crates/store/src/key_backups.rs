//! Backups of room keys, encrypted by the clients that make them.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Op, Precondition, Snapshot, StoreError};
use serde::{Deserialize, Serialize};

use crate::{DEVICE_KEY, value};

/// A version of a user's backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    pub algorithm: String,
    /// JSON text.
    pub auth_data: String,
    /// How many keys it holds.
    pub count: u64,
    /// Grows with every change of a key.
    pub etag: u64,
    /// Its keys are gone; the row stays so that its number is not used again.
    pub deleted: bool,
}

/// A key of a backup, as its room and session name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId {
    pub room_id: String,
    pub session_id: String,
}

/// First byte of a key; end-to-end keys share the table under other ones.
const BACKUP_ROW: u8 = b'B';
const KEY_ROW: u8 = b'K';

pub fn get(
    snapshot: &Snapshot,
    localpart: &str,
    version: u64,
) -> Result<Option<Backup>, StoreError> {
    let row = snapshot.get(DEVICE_KEY, &backup_key(localpart, version))?;
    row.map(|row| value::decode(&row)).transpose()
}

/// The newest backup that was ever made, deleted or not; and the newest that is not deleted.
pub fn newest(
    snapshot: &Snapshot,
    localpart: &str,
) -> Result<(u64, Option<(u64, Backup)>), StoreError> {
    let prefix = KeyWriter::new().u8(BACKUP_ROW).part(localpart).finish();
    let (mut last, mut current) = (0, None);
    snapshot.scan_prefix(DEVICE_KEY, &prefix, |key, row| {
        let version = KeyReader(&key[prefix.len()..]).u64();
        last = version.ok_or_else(|| value::corrupt("backup version"))?;
        let backup: Backup = value::decode(&row)?;
        if !backup.deleted {
            current = Some((last, backup));
        }
        Ok(())
    })?;
    Ok((last, current))
}

/// Writes the backup; lets the batch fail unless it still is `replaced`. So changes to one backup
/// happen one after the other.
pub fn put(
    batch: &mut Batch,
    localpart: &str,
    version: u64,
    backup: &Backup,
    replaced: Option<&Backup>,
) {
    let key = backup_key(localpart, version);
    batch.require(match replaced {
        Some(replaced) => Precondition::Equals(DEVICE_KEY, key.clone(), value::encode(replaced)),
        None => Precondition::Absent(DEVICE_KEY, key.clone()),
    });
    batch.put(DEVICE_KEY, key, value::encode(backup));
}

/// A key's JSON text.
pub fn key(
    snapshot: &Snapshot,
    localpart: &str,
    version: u64,
    id: &SessionId,
) -> Result<Option<Bytes>, StoreError> {
    let Some(row) = snapshot.get(DEVICE_KEY, &key_key(localpart, version, id))? else {
        return Ok(None);
    };
    let ((), json) = value::decode_with(&row)?;
    Ok(Some(json))
}

/// All keys of a backup, or those of one room.
pub fn keys(
    snapshot: &Snapshot,
    localpart: &str,
    version: u64,
    room_id: Option<&str>,
) -> Result<Vec<(SessionId, Bytes)>, StoreError> {
    let whole = keys_prefix(localpart, version);
    let prefix = match room_id {
        Some(room_id) => KeyWriter::new().rest(&whole).part(room_id).finish(),
        None => whole.clone(),
    };
    let mut keys = Vec::new();
    snapshot.scan_prefix(DEVICE_KEY, &prefix, |key, row| {
        let mut key = KeyReader(&key[whole.len()..]);
        let room_id = text(key.part().unwrap_or_default())?;
        let id = SessionId { room_id, session_id: text(key.rest())? };
        let ((), json) = value::decode_with(&row)?;
        keys.push((id, json));
        Ok(())
    })?;
    Ok(keys)
}

pub fn put_key(batch: &mut Batch, localpart: &str, version: u64, id: &SessionId, json: &[u8]) {
    batch.put(DEVICE_KEY, key_key(localpart, version, id), value::encode_with(&(), json));
}

pub fn delete_key(batch: &mut Batch, localpart: &str, version: u64, id: &SessionId) {
    batch.delete(DEVICE_KEY, key_key(localpart, version, id));
}

pub fn delete_keys(batch: &mut Batch, localpart: &str, version: u64) {
    let prefix = keys_prefix(localpart, version);
    let end = kv::after_prefix(&prefix);
    batch.ops.push(Op::DeleteRange(DEVICE_KEY, prefix, end));
}

fn text(bytes: &[u8]) -> Result<String, StoreError> {
    let text = std::str::from_utf8(bytes).map_err(|_| value::corrupt("backed-up key"))?;
    Ok(text.to_owned())
}

fn backup_key(localpart: &str, version: u64) -> Bytes {
    KeyWriter::new().u8(BACKUP_ROW).part(localpart).u64(version).finish()
}

fn keys_prefix(localpart: &str, version: u64) -> Bytes {
    KeyWriter::new().u8(KEY_ROW).part(localpart).u64(version).finish()
}

fn key_key(localpart: &str, version: u64, id: &SessionId) -> Bytes {
    let key = KeyWriter::new().rest(keys_prefix(localpart, version));
    key.part(&id.room_id).rest(&id.session_id).finish()
}

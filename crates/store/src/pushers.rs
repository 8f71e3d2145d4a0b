//! Pushers: where a local user's devices want to be told of events while they are not syncing.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Snapshot, StoreError};
use serde::{Deserialize, Serialize};

use crate::{ACCOUNT_DATA, value};

/// A pusher of a user, named by its app id and push key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pusher {
    /// The device that set it; it goes with that device.
    pub device_id: String,
    pub created_ms: u64,
    /// What the client set, as JSON (`app_id` and `pushkey` included).
    pub json: String,
}

/// What names a pusher of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PusherId {
    pub app_id: String,
    pub pushkey: String,
}

/// First bytes of a key: by user, or by what names it. Account data shares the table.
const OF_USER: u8 = b'p';
const OF_ID: u8 = b'q';

pub fn of_user(
    snapshot: &Snapshot,
    localpart: &str,
) -> Result<Vec<(PusherId, Pusher)>, StoreError> {
    let prefix = KeyWriter::new().u8(OF_USER).part(localpart).finish();
    let mut pushers = Vec::new();
    snapshot.scan_prefix(ACCOUNT_DATA, &prefix, |key, row| {
        let mut key = KeyReader(&key[prefix.len()..]);
        let app_id = text(key.part().unwrap_or_default())?;
        let pushkey = text(key.rest())?;
        pushers.push((PusherId { app_id, pushkey }, value::decode(&row)?));
        Ok(())
    })?;
    Ok(pushers)
}

/// Localparts of the users who have a pusher with this id.
pub fn users(snapshot: &Snapshot, id: &PusherId) -> Result<Vec<String>, StoreError> {
    let prefix = id_key(id, "");
    let mut users = Vec::new();
    snapshot.scan_prefix(ACCOUNT_DATA, &prefix, |key, _| {
        users.push(text(&key[prefix.len()..])?);
        Ok(())
    })?;
    Ok(users)
}

pub fn put(batch: &mut Batch, localpart: &str, id: &PusherId, pusher: &Pusher) {
    batch.put(ACCOUNT_DATA, user_key(localpart, id), value::encode(pusher));
    batch.put(ACCOUNT_DATA, id_key(id, localpart), value::encode(&()));
}

pub fn delete(batch: &mut Batch, localpart: &str, id: &PusherId) {
    batch.delete(ACCOUNT_DATA, user_key(localpart, id));
    batch.delete(ACCOUNT_DATA, id_key(id, localpart));
}

fn text(bytes: &[u8]) -> Result<String, StoreError> {
    let text = std::str::from_utf8(bytes).map_err(|_| value::corrupt("pusher key"))?;
    Ok(text.to_owned())
}

fn user_key(localpart: &str, id: &PusherId) -> Bytes {
    KeyWriter::new().u8(OF_USER).part(localpart).part(&id.app_id).rest(&id.pushkey).finish()
}

fn id_key(id: &PusherId, localpart: &str) -> Bytes {
    KeyWriter::new().u8(OF_ID).part(&id.app_id).part(&id.pushkey).rest(localpart).finish()
}

//! Devices of local users, the tokens that speak for each, and when each was last seen.

use bytes::Bytes;
use kv::{Batch, KeyWriter, Precondition, Snapshot, StoreError};
use serde::{Deserialize, Serialize};

use crate::{DEVICE, tokens::TokenHash, value};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub display_name: Option<String>,
    pub created_ms: u64,
    /// The tokens that speak for this device, oldest first. Two pairs only between a refresh and
    /// the first use of what it gave out.
    pub pairs: Vec<TokenPair>,
}

/// An access token and the refresh token that was given out with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPair {
    pub access: TokenHash,
    pub refresh: Option<TokenHash>,
}

/// Kept apart from the device, because it changes often and nothing depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSeen {
    pub at_ms: u64,
    pub address: Option<String>,
}

/// First byte of a key: a device, or when it was last seen.
const DEVICE_ROW: u8 = b'd';
const SEEN_ROW: u8 = b's';

pub fn get(
    snapshot: &Snapshot,
    localpart: &str,
    device_id: &str,
) -> Result<Option<Device>, StoreError> {
    let row = snapshot.get(DEVICE, &key(DEVICE_ROW, localpart, device_id))?;
    row.map(|row| value::decode(&row)).transpose()
}

/// All devices of a user, by id.
pub fn of_user(snapshot: &Snapshot, localpart: &str) -> Result<Vec<(String, Device)>, StoreError> {
    let prefix = KeyWriter::new().u8(DEVICE_ROW).part(localpart).finish();
    let mut devices = Vec::new();
    snapshot.scan_prefix(DEVICE, &prefix, |key, row| {
        let id = std::str::from_utf8(&key[prefix.len()..]);
        let id = id.map_err(|_| value::corrupt("device id"))?;
        devices.push((id.to_owned(), value::decode(&row)?));
        Ok(())
    })?;
    Ok(devices)
}

/// Writes the device; lets the batch fail unless it still is `replaced`.
pub fn put(
    batch: &mut Batch,
    localpart: &str,
    device_id: &str,
    device: &Device,
    replaced: Option<&Device>,
) {
    require(batch, localpart, device_id, replaced);
    batch.put(DEVICE, key(DEVICE_ROW, localpart, device_id), value::encode(device));
}

/// Deletes the device's rows of this table; lets the batch fail unless it still is `replaced`.
pub fn delete(batch: &mut Batch, localpart: &str, device_id: &str, replaced: &Device) {
    require(batch, localpart, device_id, Some(replaced));
    batch.delete(DEVICE, key(DEVICE_ROW, localpart, device_id));
    batch.delete(DEVICE, key(SEEN_ROW, localpart, device_id));
}

fn require(batch: &mut Batch, localpart: &str, device_id: &str, device: Option<&Device>) {
    let key = key(DEVICE_ROW, localpart, device_id);
    batch.require(match device {
        Some(device) => Precondition::Equals(DEVICE, key, value::encode(device)),
        None => Precondition::Absent(DEVICE, key),
    });
}

pub fn last_seen(
    snapshot: &Snapshot,
    localpart: &str,
    device_id: &str,
) -> Result<Option<LastSeen>, StoreError> {
    let row = snapshot.get(DEVICE, &key(SEEN_ROW, localpart, device_id))?;
    row.map(|row| value::decode(&row)).transpose()
}

pub fn put_last_seen(batch: &mut Batch, localpart: &str, device_id: &str, seen: &LastSeen) {
    batch.put(DEVICE, key(SEEN_ROW, localpart, device_id), value::encode(seen));
}

fn key(row: u8, localpart: &str, device_id: &str) -> Bytes {
    KeyWriter::new().u8(row).part(localpart).rest(device_id).finish()
}

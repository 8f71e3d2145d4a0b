//! End-to-end keys of local users: of their devices, for one message each, and to sign each other.
//! And of all users, when their keys or devices last changed.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Op, Precondition, Snapshot, StoreError};
use serde::{Deserialize, Serialize};

use crate::{DEVICE_KEY, value};

/// First byte of a key. Backups share the table under other ones.
const DEVICE_ROW: u8 = b'd';
const ONE_TIME_ROW: u8 = b'o';
const FALLBACK_ROW: u8 = b'f';
const CROSS_SIGNING_ROW: u8 = b'c';
const SIGNATURE_ROW: u8 = b'g';
/// When a user changed, and the way back from that position to him.
const CHANGED_ROW: u8 = b'u';
const STREAM_ROW: u8 = b's';

/// A key for a single message (or, as a fallback, for more when those are used up).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeKey {
    /// The part of the key's id after the algorithm.
    pub id: String,
    /// JSON text: an object, or a string.
    pub json: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackKey {
    pub key: OneTimeKey,
    pub used: bool,
}

/// What a cross-signing key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Master = 0,
    SelfSigning = 1,
    UserSigning = 2,
}

/// The device's identity keys as JSON text.
pub fn device(
    snapshot: &Snapshot,
    localpart: &str,
    device_id: &str,
) -> Result<Option<String>, StoreError> {
    let row = snapshot.get(DEVICE_KEY, &device_key(localpart, device_id))?;
    row.map(|row| value::decode(&row)).transpose()
}

/// The identity keys of all devices of a user, by device id.
pub fn devices(snapshot: &Snapshot, localpart: &str) -> Result<Vec<(String, String)>, StoreError> {
    let prefix = device_key(localpart, "");
    let mut devices = Vec::new();
    snapshot.scan_prefix(DEVICE_KEY, &prefix, |key, row| {
        devices.push((text(&key[prefix.len()..])?, value::decode(&row)?));
        Ok(())
    })?;
    Ok(devices)
}

/// Replaces the identity keys; lets the batch fail unless they still are `replaced`.
pub fn put_device(
    batch: &mut Batch,
    localpart: &str,
    device_id: &str,
    json: &str,
    replaced: Option<&str>,
) {
    let key = device_key(localpart, device_id);
    require(batch, &key, replaced);
    batch.put(DEVICE_KEY, key, value::encode(&json));
}

/// Deletes all keys of a device.
pub fn delete_device(batch: &mut Batch, localpart: &str, device_id: &str) {
    batch.delete(DEVICE_KEY, device_key(localpart, device_id));
    for row in [ONE_TIME_ROW, FALLBACK_ROW] {
        let prefix = KeyWriter::new().u8(row).part(localpart).part(device_id).finish();
        let end = kv::after_prefix(&prefix);
        batch.ops.push(Op::DeleteRange(DEVICE_KEY, prefix, end));
    }
}

/// The device's unclaimed one-time keys with their rows' keys, by algorithm, oldest first.
pub fn one_time_keys(
    snapshot: &Snapshot,
    localpart: &str,
    device_id: &str,
) -> Result<Vec<(String, Bytes, OneTimeKey)>, StoreError> {
    let prefix = KeyWriter::new().u8(ONE_TIME_ROW).part(localpart).part(device_id).finish();
    let mut keys = Vec::new();
    snapshot.scan_prefix(DEVICE_KEY, &prefix, |key, row| {
        let algorithm = KeyReader(&key[prefix.len()..]).part();
        let algorithm = text(algorithm.ok_or_else(|| value::corrupt("one-time key"))?)?;
        keys.push((algorithm, Bytes::copy_from_slice(key), value::decode(&row)?));
        Ok(())
    })?;
    Ok(keys)
}

/// How many one-time keys the device has left, by algorithm.
pub fn one_time_key_counts(
    snapshot: &Snapshot,
    localpart: &str,
    device_id: &str,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut counts = BTreeMap::new();
    for (algorithm, _, _) in one_time_keys(snapshot, localpart, device_id)? {
        *counts.entry(algorithm).or_default() += 1;
    }
    Ok(counts)
}

/// Adds a one-time key behind those that are there.
pub fn add_one_time_key(
    batch: &mut Batch,
    localpart: &str,
    device_id: &str,
    algorithm: &str,
    key: &OneTimeKey,
) {
    let prefix = KeyWriter::new().u8(ONE_TIME_ROW).part(localpart).part(device_id).part(algorithm);
    batch.put_at_version(DEVICE_KEY, prefix.finish(), key.id.clone(), value::encode(key));
}

/// Takes a one-time key away; the batch fails if somebody else took it.
pub fn claim_one_time_key(batch: &mut Batch, row: Bytes) {
    batch.require(Precondition::Present(DEVICE_KEY, row.clone()));
    batch.delete(DEVICE_KEY, row);
}

/// The device's fallback keys by algorithm.
pub fn fallback_keys(
    snapshot: &Snapshot,
    localpart: &str,
    device_id: &str,
) -> Result<Vec<(String, FallbackKey)>, StoreError> {
    let prefix = fallback_key(localpart, device_id, "");
    let mut keys = Vec::new();
    snapshot.scan_prefix(DEVICE_KEY, &prefix, |key, row| {
        keys.push((text(&key[prefix.len()..])?, value::decode(&row)?));
        Ok(())
    })?;
    Ok(keys)
}

pub fn put_fallback_key(
    batch: &mut Batch,
    localpart: &str,
    device_id: &str,
    algorithm: &str,
    key: &FallbackKey,
) {
    let row = fallback_key(localpart, device_id, algorithm);
    batch.put(DEVICE_KEY, row, value::encode(key));
}

/// A cross-signing key of a user as JSON text.
pub fn cross_signing(
    snapshot: &Snapshot,
    localpart: &str,
    usage: Usage,
) -> Result<Option<String>, StoreError> {
    let row = snapshot.get(DEVICE_KEY, &cross_signing_key(localpart, usage))?;
    row.map(|row| value::decode(&row)).transpose()
}

/// Replaces the key; lets the batch fail unless it still is `replaced`.
pub fn put_cross_signing(
    batch: &mut Batch,
    localpart: &str,
    usage: Usage,
    json: &str,
    replaced: Option<&str>,
) {
    let key = cross_signing_key(localpart, usage);
    require(batch, &key, replaced);
    batch.put(DEVICE_KEY, key, value::encode(&json));
}

/// The signatures that a local user made of another user's master key, for his own eyes: JSON text
/// of an object from key id to signature.
pub fn signatures(
    snapshot: &Snapshot,
    signer: &str,
    (user, master_key): (&str, &str),
) -> Result<Option<String>, StoreError> {
    let row = snapshot.get(DEVICE_KEY, &signature_key(signer, user, master_key))?;
    row.map(|row| value::decode(&row)).transpose()
}

pub fn put_signatures(
    batch: &mut Batch,
    signer: &str,
    (user, master_key): (&str, &str),
    json: &str,
) {
    let key = signature_key(signer, user, master_key);
    batch.put(DEVICE_KEY, key, value::encode(&json));
}

/// When the user's keys or devices last changed.
pub fn changed_at(snapshot: &Snapshot, user_id: &str) -> Result<Option<u64>, StoreError> {
    let row = snapshot.get(DEVICE_KEY, &changed_key(user_id))?;
    row.map(|row| Ok(value::unstamp(&row)?.0)).transpose()
}

/// Notes that the user's keys or devices change with this batch. `before` is what
/// [`changed_at`] says in the same snapshot.
pub fn put_changed(batch: &mut Batch, user_id: &str, before: Option<u64>) {
    if let Some(before) = before {
        let stale = KeyWriter::new().u8(STREAM_ROW).u64(before).rest(user_id).finish();
        batch.delete(DEVICE_KEY, stale);
    }
    batch.put_stamped(DEVICE_KEY, changed_key(user_id), value::encode(&()));
    let prefix = KeyWriter::new().u8(STREAM_ROW).finish();
    batch.put_at_version(DEVICE_KEY, prefix, user_id.to_owned(), value::encode(&()));
}

/// The users whose keys or devices changed in `(since, until]`, whoever they are; by position. Two
/// commits at the same time may leave a user in it twice.
pub fn changed(
    snapshot: &Snapshot,
    (since, until): (u64, u64),
) -> Result<Vec<(u64, String)>, StoreError> {
    let mut from = KeyWriter::new().u8(STREAM_ROW).u64(since.saturating_add(1)).finish();
    let to = KeyWriter::new().u8(STREAM_ROW).u64(until.saturating_add(1)).finish();
    let mut users = Vec::new();
    loop {
        let page = snapshot.scan(DEVICE_KEY, &from, &to, false, kv::PAGE_ROWS_MAX)?;
        let Some((last, _)) = page.rows.last() else { return Ok(users) };
        from = KeyWriter::new().rest(last).u8(0).finish();
        for (key, _) in &page.rows {
            let mut key = KeyReader(&key[1..]);
            let position = key.u64().ok_or_else(|| value::corrupt("device list stream"))?;
            users.push((position, text(key.rest())?));
        }
        if !page.more {
            return Ok(users);
        }
    }
}

fn require(batch: &mut Batch, key: &Bytes, value: Option<&str>) {
    batch.require(match value {
        Some(value) => Precondition::Equals(DEVICE_KEY, key.clone(), value::encode(&value)),
        None => Precondition::Absent(DEVICE_KEY, key.clone()),
    });
}

fn text(bytes: &[u8]) -> Result<String, StoreError> {
    let text = std::str::from_utf8(bytes).map_err(|_| value::corrupt("device key"))?;
    Ok(text.to_owned())
}

fn device_key(localpart: &str, device_id: &str) -> Bytes {
    KeyWriter::new().u8(DEVICE_ROW).part(localpart).rest(device_id).finish()
}

fn fallback_key(localpart: &str, device_id: &str, algorithm: &str) -> Bytes {
    let key = KeyWriter::new().u8(FALLBACK_ROW).part(localpart).part(device_id);
    key.rest(algorithm).finish()
}

fn cross_signing_key(localpart: &str, usage: Usage) -> Bytes {
    KeyWriter::new().u8(CROSS_SIGNING_ROW).part(localpart).u8(usage as u8).finish()
}

fn signature_key(signer: &str, user: &str, master_key: &str) -> Bytes {
    KeyWriter::new().u8(SIGNATURE_ROW).part(signer).part(user).rest(master_key).finish()
}

fn changed_key(user_id: &str) -> Bytes {
    KeyWriter::new().u8(CHANGED_ROW).rest(user_id).finish()
}

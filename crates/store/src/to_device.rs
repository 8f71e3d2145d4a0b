//! Messages from device to device: those that wait for a local device to sync, and those that wait
//! to be sent to another server.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Op, Snapshot, StoreError};

use crate::{TO_DEVICE, value};

/// First byte of a key: what waits for a device, or for a server.
const DEVICE_ROW: u8 = b'd';
const SERVER_ROW: u8 = b's';

/// A message's place in its queue: the position of its commit, and the index therein.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub u64, pub u32);

/// Messages for the device that were committed in `(since, until]`, oldest first: the JSON text of
/// each as /sync shows it. At most `limit`.
pub fn pending(
    snapshot: &Snapshot,
    (localpart, device_id): (&str, &str),
    (since, until): (u64, u64),
    limit: usize,
) -> Result<Vec<(Place, Bytes)>, StoreError> {
    queue(snapshot, &device_prefix(localpart, device_id), (since, until), limit)
}

/// Appends a message for a device; `index` tells those of one batch apart.
pub fn put(batch: &mut Batch, localpart: &str, device_id: &str, index: u32, json: &[u8]) {
    append(batch, device_prefix(localpart, device_id), index, json);
}

/// Forgets the messages for the device up to the position: it has received them.
pub fn delete_up_to(batch: &mut Batch, localpart: &str, device_id: &str, position: u64) {
    let prefix = device_prefix(localpart, device_id);
    let to = KeyWriter::new().rest(&prefix).u64(position.saturating_add(1)).finish();
    batch.ops.push(Op::DeleteRange(TO_DEVICE, prefix, to));
}

/// Forgets everything that waits for the device.
pub fn delete_all(batch: &mut Batch, localpart: &str, device_id: &str) {
    let prefix = device_prefix(localpart, device_id);
    let end = kv::after_prefix(&prefix);
    batch.ops.push(Op::DeleteRange(TO_DEVICE, prefix, end));
}

/// Messages for another server that were committed after `since`, oldest first: the JSON text of
/// the content of an `m.direct_to_device` EDU.
pub fn outbox(
    snapshot: &Snapshot,
    server: &str,
    since: u64,
    limit: usize,
) -> Result<Vec<(Place, Bytes)>, StoreError> {
    queue(snapshot, &server_prefix(server), (since, u64::MAX - 1), limit)
}

pub fn put_outbound(batch: &mut Batch, server: &str, index: u32, json: &[u8]) {
    append(batch, server_prefix(server), index, json);
}

/// Forgets a message that the other server has received.
pub fn delete_outbound(batch: &mut Batch, server: &str, Place(position, index): Place) {
    let key = KeyWriter::new().rest(server_prefix(server)).u64(position).u32(index);
    batch.delete(TO_DEVICE, key.finish());
}

fn append(batch: &mut Batch, prefix: Bytes, index: u32, json: &[u8]) {
    let suffix = KeyWriter::new().u32(index).finish();
    batch.put_at_version(TO_DEVICE, prefix, suffix, value::encode_with(&(), json));
}

fn queue(
    snapshot: &Snapshot,
    prefix: &Bytes,
    (since, until): (u64, u64),
    limit: usize,
) -> Result<Vec<(Place, Bytes)>, StoreError> {
    let from = KeyWriter::new().rest(prefix).u64(since.saturating_add(1)).finish();
    let to = KeyWriter::new().rest(prefix).u64(until.saturating_add(1)).finish();
    let page = snapshot.scan(TO_DEVICE, &from, &to, false, limit)?;
    let message = |(key, row): (Bytes, Bytes)| {
        let mut key = KeyReader(&key[prefix.len()..]);
        let (Some(position), Some(index)) = (key.u64(), key.u32()) else {
            return Err(value::corrupt("to-device key"));
        };
        let ((), json) = value::decode_with(&row)?;
        Ok((Place(position, index), json))
    };
    page.rows.into_iter().map(message).collect()
}

fn device_prefix(localpart: &str, device_id: &str) -> Bytes {
    KeyWriter::new().u8(DEVICE_ROW).part(localpart).part(device_id).finish()
}

fn server_prefix(server: &str) -> Bytes {
    KeyWriter::new().u8(SERVER_ROW).part(server).finish()
}

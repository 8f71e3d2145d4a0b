//! The servers that this homeserver sends to: how far each of them has everything, when to try
//! again one that failed, and what waits for it besides the events of its rooms.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Op, Snapshot, StoreError};
use model::{EventNumber, RoomNumber};
use serde::{Deserialize, Serialize};

use crate::{DESTINATION, events::Order, value};

/// Where the sending to a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Every event for it up to here (inclusive) was delivered.
    pub delivered: Order,
    /// `None` while it answers.
    pub failing: Option<Failing>,
}

/// A server that did not answer the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Failures in a row.
    pub failures: u32,
    pub since_ms: u64,
    /// Not to be tried before, unless it shows life.
    pub retry_at_ms: u64,
}

/// Something for a server that does not follow from the rooms that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// An event that is sent to it although it is not ours, or the server was not in its room.
    Event { room: RoomNumber, event: EventNumber },
    /// An ephemeral data unit (to-device message, device list), as JSON.
    Edu(String),
}

pub fn get(snapshot: &Snapshot, server: &str) -> Result<Option<Destination>, StoreError> {
    snapshot.get(DESTINATION, &state_key(server))?.map(|row| value::decode(&row)).transpose()
}

/// Every server that was ever sent to.
pub fn all(snapshot: &Snapshot) -> Result<Vec<(String, Destination)>, StoreError> {
    let mut servers = Vec::new();
    snapshot.scan_prefix(DESTINATION, &[STATE], |key, row| {
        servers.push((server_name(&key[1..])?, value::decode(&row)?));
        Ok(())
    })?;
    Ok(servers)
}

pub fn put(batch: &mut Batch, server: &str, destination: &Destination) {
    batch.put(DESTINATION, state_key(server), value::encode(destination));
}

/// Lets something wait for the server. `index` tells apart what one batch lets wait for it. The
/// batch's log entry must name the server in a [`Change::Outbound`](crate::log::Change::Outbound).
pub fn enqueue(batch: &mut Batch, server: &str, index: u16, waiting: &Waiting) {
    batch.ops.push(Op::PutAtVersion {
        table: DESTINATION,
        prefix: outbox_prefix(server),
        suffix: Bytes::copy_from_slice(&index.to_be_bytes()),
        value: value::encode(waiting),
    });
}

/// Names a row of a server's outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingKey(Bytes);

/// What waits for the server, oldest first.
pub fn waiting(
    snapshot: &Snapshot,
    server: &str,
    limit: usize,
) -> Result<Vec<(WaitingKey, Waiting)>, StoreError> {
    let prefix = outbox_prefix(server);
    let page = snapshot.scan(DESTINATION, &prefix, &kv::after_prefix(&prefix), false, limit)?;
    let item = |(key, row): (Bytes, Bytes)| Ok((WaitingKey(key), value::decode(&row)?));
    page.rows.into_iter().map(item).collect()
}

/// Takes something out of an outbox once it has arrived.
pub fn remove_waiting(batch: &mut Batch, key: WaitingKey) {
    batch.delete(DESTINATION, key.0);
}

/// The servers for which something waits.
pub fn with_waiting(snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
    let mut servers: Vec<String> = Vec::new();
    let end = kv::after_prefix(&[OUTBOX]);
    let mut from = Bytes::from_static(&[OUTBOX]);
    loop {
        // One row of each server: the rest of its outbox is skipped.
        let page = snapshot.scan(DESTINATION, &from, &end, false, 1)?;
        let Some((key, _)) = page.rows.first() else { return Ok(servers) };
        let name = KeyReader(&key[1..]).part().ok_or_else(|| value::corrupt("outbox key"))?;
        let name = server_name(name)?;
        from = kv::after_prefix(&outbox_prefix(&name));
        servers.push(name);
    }
}

/// First byte of the key of a server's state, and of the rows of its outbox.
const STATE: u8 = 1;
const OUTBOX: u8 = 2;

fn state_key(server: &str) -> Bytes {
    KeyWriter::new().u8(STATE).rest(server).finish()
}

fn outbox_prefix(server: &str) -> Bytes {
    KeyWriter::new().u8(OUTBOX).part(server).finish()
}

fn server_name(bytes: &[u8]) -> Result<String, StoreError> {
    let name = std::str::from_utf8(bytes).map_err(|_| value::corrupt("server name"))?;
    Ok(name.to_owned())
}

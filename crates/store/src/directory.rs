//! Which homeservers a database holds. The directory is kept under an id that no homeserver has.

use kv::{Batch, HomeserverId, Op, Precondition, Snapshot, StoreError};
use serde::{Deserialize, Serialize};

use crate::{HOMESERVER, value};

/// Where the directory is kept.
pub const DIRECTORY: HomeserverId = HomeserverId(0);

const NAME: &[u8] = b"name/";
const NEXT_ID: &[u8] = b"next_id";

/// One homeserver of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: u32,
    pub standing: Standing,
}

/// Whether a homeserver's rows are all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    Active,
    /// They are being written, or removed. A process that finds this at its start removes them.
    Partial,
}

/// All homeservers, by name.
pub fn homeservers(snapshot: &Snapshot) -> Result<Vec<(String, Entry)>, StoreError> {
    let mut found = Vec::new();
    snapshot.scan_prefix(HOMESERVER, NAME, |key, row| {
        let name = std::str::from_utf8(&key[NAME.len()..]);
        let name = name.map_err(|_| value::corrupt("name of a homeserver"))?;
        found.push((name.to_owned(), value::decode(&row)?));
        Ok(())
    })?;
    Ok(found)
}

pub fn homeserver(snapshot: &Snapshot, name: &str) -> Result<Option<Entry>, StoreError> {
    snapshot.get(HOMESERVER, &key(name))?.map(|row| value::decode(&row)).transpose()
}

/// An id that no homeserver has had so far. Ids are never given out twice.
pub fn next_id(snapshot: &Snapshot) -> Result<u32, StoreError> {
    let Some(row) = snapshot.get(HOMESERVER, NEXT_ID)? else { return Ok(DIRECTORY.0 + 1) };
    let next = <[u8; 8]>::try_from(&row[..]).map(u64::from_be_bytes);
    next.ok().and_then(|next| next.try_into().ok()).ok_or_else(|| value::corrupt("next id"))
}

/// Enters a new homeserver; fails at the commit if the name is taken.
pub fn add(batch: &mut Batch, name: &str, entry: Entry) {
    batch.require(Precondition::Absent(HOMESERVER, key(name).into()));
    batch.ops.push(Op::Max(HOMESERVER, NEXT_ID.into(), u64::from(entry.id) + 1));
    replace(batch, name, entry);
}

pub fn replace(batch: &mut Batch, name: &str, entry: Entry) {
    batch.put(HOMESERVER, key(name), value::encode(&entry));
}

pub fn remove(batch: &mut Batch, name: &str) {
    batch.delete(HOMESERVER, key(name));
}

fn key(name: &str) -> Vec<u8> {
    [NAME, name.as_bytes()].concat()
}

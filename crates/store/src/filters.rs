//! Filters that clients stored for their /sync. A filter's id is drawn from what it says, so that
//! storing the same one again stores nothing.

use bytes::Bytes;
use kv::{Batch, KeyWriter, Snapshot, StoreError};

use crate::{ACCOUNT_DATA, value};

/// First byte of a key; account data shares the table under other ones.
const FILTER_ROW: u8 = b'f';

/// The filter's JSON text.
pub fn get(snapshot: &Snapshot, localpart: &str, id: &str) -> Result<Option<Bytes>, StoreError> {
    let Some(row) = snapshot.get(ACCOUNT_DATA, &key(localpart, id))? else { return Ok(None) };
    let ((), filter) = value::decode_with(&row)?;
    Ok(Some(filter))
}

/// How many filters the user stored; counts no further than a page.
pub fn count(snapshot: &Snapshot, localpart: &str) -> Result<usize, StoreError> {
    let from = key(localpart, "");
    let to = kv::after_prefix(&from);
    Ok(snapshot.scan(ACCOUNT_DATA, &from, &to, false, kv::PAGE_ROWS_MAX)?.rows.len())
}

pub fn put(batch: &mut Batch, localpart: &str, id: &str, filter: &[u8]) {
    batch.put(ACCOUNT_DATA, key(localpart, id), value::encode_with(&(), filter));
}

fn key(localpart: &str, id: &str) -> Bytes {
    KeyWriter::new().u8(FILTER_ROW).part(localpart).rest(id).finish()
}

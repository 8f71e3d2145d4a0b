//! How values are written: a format byte, then postcard.

use std::sync::Arc;

use bytes::Bytes;
use kv::StoreError;
use serde::{Serialize, de::DeserializeOwned};

/// The only format so far. A row with another one is refused, never guessed.
const FORMAT: u8 = 1;

pub fn encode<T: Serialize>(value: &T) -> Bytes {
    let bytes = postcard::to_extend(value, vec![FORMAT]);
    bytes.expect("plain data always serialises into memory").into()
}

/// The value of a row, and the bytes that follow it (see [`encode_with`]).
pub fn decode_with<T: DeserializeOwned>(row: &Bytes) -> Result<(T, Bytes), StoreError> {
    let [FORMAT, body @ ..] = &row[..] else { return Err(corrupt("format")) };
    let (value, rest) = postcard::take_from_bytes(body).map_err(|_| corrupt("value"))?;
    Ok((value, row.slice(row.len() - rest.len()..)))
}

/// A value with raw bytes after it, for instance an event's JSON.
pub fn encode_with<T: Serialize>(value: &T, tail: &[u8]) -> Bytes {
    let mut bytes = encode(value).to_vec();
    bytes.extend_from_slice(tail);
    bytes.into()
}

pub fn decode<T: DeserializeOwned>(row: &Bytes) -> Result<T, StoreError> {
    decode_with(row).map(|(value, _)| value)
}

/// The version at which a row was written by `Batch::put_stamped`, and the rest of the row.
pub fn unstamp(row: &Bytes) -> Result<(u64, Bytes), StoreError> {
    let (stamp, _) = row.split_first_chunk::<8>().ok_or_else(|| corrupt("stamp"))?;
    Ok((u64::from_be_bytes(*stamp), row.slice(8..)))
}

/// The error of a row that cannot be understood.
pub fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(Arc::from(what))
}

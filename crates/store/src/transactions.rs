//! What requests with a transaction id were answered, so that a repeated one is answered the same
//! and does nothing. The answer is in the batch of what the request did.

use bytes::Bytes;
use kv::{Batch, KeyWriter, Precondition, Snapshot, StoreError};
use sha2::{Digest, Sha256};

use crate::{TRANSACTION, value};

/// A request that may be repeated. Transaction ids are unique per device and path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    pub localpart: String,
    pub device_id: String,
    /// The request's path without the transaction id, for instance `send/!room/m.room.message`.
    pub path: String,
    pub id: String,
}

/// The bytes that [`put`] stored, if the transaction was committed.
pub fn answer_of(
    snapshot: &Snapshot,
    transaction: &Transaction,
) -> Result<Option<Bytes>, StoreError> {
    let Some(row) = snapshot.get(TRANSACTION, &key(transaction))? else { return Ok(None) };
    let ((), answer) = value::decode_with(&row)?;
    Ok(Some(answer))
}

/// Stores the answer. The batch fails if the transaction was committed meanwhile: then the answer
/// can be read.
pub fn put(batch: &mut Batch, transaction: &Transaction, answer: &[u8]) {
    let key = key(transaction);
    batch.require(Precondition::Absent(TRANSACTION, key.clone()));
    batch.put(TRANSACTION, key, value::encode_with(&(), answer));
}

/// Path and id are hashed: together they may be longer than a key.
fn key(transaction: &Transaction) -> Bytes {
    let what = KeyWriter::new().part(&transaction.path).rest(&transaction.id).finish();
    let key = KeyWriter::new().part(&transaction.localpart).part(&transaction.device_id);
    key.rest(Sha256::digest(&what)).finish()
}

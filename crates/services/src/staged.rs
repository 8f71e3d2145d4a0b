//! Transactions of other servers: acknowledged once they are durable, taken in afterwards.

use bytes::Bytes;
use kv::{CommitError, StoreError};
use model::RoomNumber;
use ruma::{OwnedRoomId, ServerName, TransactionId};
use serde_json::value::RawValue;
pub use store::staged::{Staged, StagedKey};
use store::{
    staged as rows,
    transactions::{self, Transaction},
};

use crate::{Context, log::Change};

/// Why staged events could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StagedError {
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] CommitError),
}

/// An event that is to wait for its room's worker.
#[derive(Debug)]
pub struct Arrived {
    pub room: RoomNumber,
    pub room_id: OwnedRoomId,
    pub json: Box<RawValue>,
}

/// What the server's transaction was answered, if it came before.
pub async fn answer_of(
    context: &Context,
    origin: &ServerName,
    id: &TransactionId,
) -> Result<Option<Bytes>, StagedError> {
    let transaction = transaction(origin, id);
    let find = move |snapshot: &kv::Snapshot| transactions::answer_of(snapshot, &transaction);
    Ok(context.store.read(find).await?)
}

/// Keeps the transaction's events and its answer. If it came a second time meanwhile, nothing is
/// kept twice.
pub async fn stage(
    context: &Context,
    origin: &ServerName,
    id: &TransactionId,
    events: Vec<Arrived>,
    answer: &[u8],
) -> Result<(), StagedError> {
    let mut batch = context.batch();
    transactions::put(&mut batch, &transaction(origin, id), answer);
    for (index, event) in (0..).zip(events) {
        let staged = Staged {
            origin: origin.to_string(),
            room_id: event.room_id.to_string(),
            json: event.json.get().to_owned(),
        };
        rows::put(&mut batch, event.room, index, &staged);
    }
    match context.log.commit(batch, vec![Change::Nothing]).await {
        Ok(_) | Err(CommitError::Precondition(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What waits for the room, oldest first, and came after a row.
pub async fn of_room(
    context: &Context,
    room: RoomNumber,
    after: Option<StagedKey>,
    limit: usize,
) -> Result<Vec<(StagedKey, Staged)>, StagedError> {
    let read = move |snapshot: &kv::Snapshot| rows::of_room(snapshot, room, after.as_ref(), limit);
    Ok(context.store.read(read).await?)
}

/// The rooms for which something waits.
pub async fn rooms(context: &Context) -> Result<Vec<RoomNumber>, StagedError> {
    Ok(context.store.read(rows::rooms).await?)
}

/// Forgets what was taken in.
pub async fn done(context: &Context, keys: Vec<StagedKey>) -> Result<(), StagedError> {
    let mut batch = context.batch();
    for key in keys {
        rows::remove(&mut batch, key);
    }
    context.log.commit(batch, vec![Change::Nothing]).await?;
    Ok(())
}

/// Servers share the table with the transactions of local users, who have a localpart.
pub fn transaction(origin: &ServerName, id: &TransactionId) -> Transaction {
    Transaction {
        localpart: String::new(),
        device_id: origin.to_string(),
        path: "send".to_owned(),
        id: id.to_string(),
    }
}

//! What clients keep for a user: by type, globally or for a room.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#client-config>

use bytes::Bytes;
use kv::{CommitError, Snapshot, StoreError};
use model::RoomNumber;
use ruma::{OwnedRoomId, RoomId};
use store::{
    account_data::{self, Item},
    log::Change,
    rooms,
};

use crate::{Context, push_rules, sessions::Caller};

#[cfg(test)]
mod tests;

/// Types that only the server writes, for instance when a read marker is moved.
const SERVER_CONTROLLED: [&str; 2] = ["m.fully_read", push_rules::KIND];
/// Bytes of a content: what fits into a row.
pub const CONTENT_BYTES_MAX: usize = 88_000;
/// Bytes of a type.
pub const KIND_BYTES_MAX: usize = 255;

#[derive(Clone, Debug, thiserror::Error)]
pub enum AccountDataError {
    #[error("this type is controlled by the server")]
    ServerControlled,
    #[error("account data is a JSON object")]
    NotAnObject,
    #[error("the content is too large")]
    TooLarge,
    #[error("the type is too long")]
    LongType,
    #[error("the room is not known here")]
    UnknownRoom,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct AccountData {
    context: Context,
}

impl AccountData {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// The content's JSON text.
    pub async fn get(
        &self,
        caller: &Caller,
        room: Option<&RoomId>,
        kind: &str,
    ) -> Result<Option<Bytes>, AccountDataError> {
        let (localpart, kind) = (caller.localpart().to_owned(), kind.to_owned());
        let room = room.map(ToOwned::to_owned);
        self.context
            .store
            .read(move |rows| {
                let room = match find_room(rows, room.as_ref()) {
                    Err(AccountDataError::UnknownRoom) => return Ok(None),
                    room => room?,
                };
                let item = account_data::get(rows, &localpart, room, &kind)?;
                Ok(item.map(|item| item.content))
            })
            .await
    }

    /// Replaces the content, which must be a JSON object.
    pub async fn set(
        &self,
        caller: &Caller,
        room: Option<&RoomId>,
        kind: &str,
        content: &str,
    ) -> Result<(), AccountDataError> {
        if SERVER_CONTROLLED.contains(&kind) {
            return Err(AccountDataError::ServerControlled);
        }
        check(kind, content)?;
        let (localpart, kind) = (caller.localpart().to_owned(), kind.to_owned());
        let (room, content) = (room.map(ToOwned::to_owned), content.to_owned());
        self.context
            .change(move |rows, batch| {
                let room = find_room(rows, room.as_ref())?;
                let old = account_data::get(rows, &localpart, room, &kind)?;
                let kind = (room, kind.as_str());
                account_data::put(batch, &localpart, kind, content.as_bytes(), old.as_ref());
                Ok(((), vec![Change::AccountData { user: localpart.clone(), room }]))
            })
            .await
    }

    /// Makes new content out of the old, for what only the server writes.
    pub(crate) async fn amend<T, E>(
        &self,
        caller: &Caller,
        (room, kind): (Option<OwnedRoomId>, &'static str),
        amend: impl Fn(Option<&Item>) -> Result<(T, String), E> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<AccountDataError> + From<StoreError> + From<CommitError> + Send + 'static,
    {
        let localpart = caller.localpart().to_owned();
        self.context
            .change(move |rows, batch| {
                let room = find_room(rows, room.as_ref())?;
                let old = account_data::get(rows, &localpart, room, kind)?;
                let (answer, content) = amend(old.as_ref())?;
                if content.len() > CONTENT_BYTES_MAX {
                    return Err(AccountDataError::TooLarge.into());
                }
                let what = (room, kind);
                account_data::require(batch, &localpart, what, old.as_ref());
                account_data::put(batch, &localpart, what, content.as_bytes(), old.as_ref());
                Ok((answer, vec![Change::AccountData { user: localpart.clone(), room }]))
            })
            .await
    }
}

fn check(kind: &str, content: &str) -> Result<(), AccountDataError> {
    if kind.len() > KIND_BYTES_MAX {
        return Err(AccountDataError::LongType);
    }
    if content.len() > CONTENT_BYTES_MAX {
        return Err(AccountDataError::TooLarge);
    }
    let object: Result<serde_json::Map<String, serde_json::Value>, _> =
        serde_json::from_str(content);
    object.map(|_| ()).map_err(|_| AccountDataError::NotAnObject)
}

fn find_room(
    rows: &Snapshot,
    room: Option<&OwnedRoomId>,
) -> Result<Option<RoomNumber>, AccountDataError> {
    let Some(room) = room else { return Ok(None) };
    rooms::number(rows, room)?.map(Some).ok_or(AccountDataError::UnknownRoom)
}

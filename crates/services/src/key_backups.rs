//! Backups of room keys. The keys are encrypted by the clients; the server chooses the better of
//! two copies by what they say in the clear.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups>

use bytes::Bytes;
use kv::{Batch, CommitError, Snapshot, StoreError};
use serde_json::{Map, Value};
pub use store::key_backups::SessionId;
use store::{
    key_backups::{self, Backup},
    log::{Change, LogEntry},
    value,
};

use crate::{Context, sessions::Caller};

#[cfg(test)]
mod tests;

/// Backups that a user makes in his life.
const VERSIONS_MAX: u64 = 10_000;
/// Bytes of the data that authenticates a backup.
const AUTH_DATA_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a room id, a session id and an algorithm.
const NAME_BYTES_MAX: usize = 255;

/// What the caller is told of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupInfo {
    pub version: u64,
    pub algorithm: String,
    /// JSON text.
    pub auth_data: String,
    pub count: u64,
    pub etag: u64,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is no such backup")]
    UnknownBackup,
    #[error("the current backup is another one")]
    WrongVersion { current: u64 },
    #[error("a backup keeps its algorithm and version")]
    OtherAlgorithm,
    #[error("the backup or a name in it is too long")]
    TooLong,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct KeyBackups {
    context: Context,
}

impl KeyBackups {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// Begins a new backup, which is the current one from now on.
    pub async fn create(
        &self,
        caller: &Caller,
        algorithm: String,
        auth_data: String,
    ) -> Result<u64, BackupError> {
        if algorithm.len() > NAME_BYTES_MAX || auth_data.len() > AUTH_DATA_BYTES_MAX {
            return Err(BackupError::TooLong);
        }
        let user = caller.localpart().to_owned();
        let backup = Backup { algorithm, auth_data, count: 0, etag: 0, deleted: false };
        self.context
            .change(move |rows, batch| {
                let (last, _) = key_backups::newest(rows, &user)?;
                if last >= VERSIONS_MAX {
                    return Err(BackupError::TooLong);
                }
                key_backups::put(batch, &user, last + 1, &backup, None);
                Ok((last + 1, nothing()))
            })
            .await
    }

    /// The backup of this version, or the current one.
    pub async fn get(
        &self,
        caller: &Caller,
        version: Option<u64>,
    ) -> Result<BackupInfo, BackupError> {
        let user = caller.localpart().to_owned();
        let found = self.context.store.read(move |rows| match version {
            Some(version) => find(rows, &user, version).map(|backup| (version, backup)),
            None => key_backups::newest(rows, &user)?.1.ok_or(BackupError::UnknownBackup),
        });
        let (version, backup) = found.await?;
        let Backup { algorithm, auth_data, count, etag, deleted: _ } = backup;
        Ok(BackupInfo { version, algorithm, auth_data, count, etag })
    }

    /// Replaces the data that authenticates the backup.
    pub async fn update(
        &self,
        caller: &Caller,
        version: u64,
        algorithm: String,
        auth_data: String,
    ) -> Result<(), BackupError> {
        if auth_data.len() > AUTH_DATA_BYTES_MAX {
            return Err(BackupError::TooLong);
        }
        let user = caller.localpart().to_owned();
        self.context
            .change(move |rows, batch| {
                let old = find(rows, &user, version)?;
                if old.algorithm != algorithm {
                    return Err(BackupError::OtherAlgorithm);
                }
                let backup = Backup { auth_data: auth_data.clone(), ..old.clone() };
                key_backups::put(batch, &user, version, &backup, Some(&old));
                Ok(((), nothing()))
            })
            .await
    }

    /// Deletes the backup and its keys.
    pub async fn delete(&self, caller: &Caller, version: u64) -> Result<(), BackupError> {
        let user = caller.localpart().to_owned();
        self.context
            .change(move |rows, batch| {
                let old = find(rows, &user, version)?;
                let backup = Backup { count: 0, deleted: true, ..old.clone() };
                key_backups::put(batch, &user, version, &backup, Some(&old));
                key_backups::delete_keys(batch, &user, version);
                Ok(((), nothing()))
            })
            .await
    }

    /// Stores keys in the current backup, each if it is better than the one that is there. Answers
    /// count and etag.
    pub async fn put_keys(
        &self,
        caller: &Caller,
        version: u64,
        keys: Vec<(SessionId, Map<String, Value>)>,
    ) -> Result<(u64, u64), BackupError> {
        let is_long = |id: &SessionId| {
            id.room_id.len() > NAME_BYTES_MAX || id.session_id.len() > NAME_BYTES_MAX
        };
        if keys.iter().any(|(id, _)| is_long(id)) {
            return Err(BackupError::TooLong);
        }
        let user = caller.localpart().to_owned();
        self.context
            .change(move |rows, batch| {
                let (_, current) = key_backups::newest(rows, &user)?;
                let (current, old) = current.ok_or(BackupError::UnknownBackup)?;
                if current != version {
                    return Err(BackupError::WrongVersion { current });
                }
                let backup = add(rows, batch, (&user, version, &old), &keys)?;
                if backup != old {
                    key_backups::put(batch, &user, version, &backup, Some(&old));
                }
                Ok(((backup.count, backup.etag), nothing()))
            })
            .await
    }

    /// One key's JSON text.
    pub async fn key(
        &self,
        caller: &Caller,
        version: u64,
        id: SessionId,
    ) -> Result<Option<Bytes>, BackupError> {
        let user = caller.localpart().to_owned();
        let found = self.context.store.read(move |rows| {
            find(rows, &user, version)?;
            Ok(key_backups::key(rows, &user, version, &id)?)
        });
        found.await
    }

    /// The keys of the backup, or of one room in it.
    pub async fn keys(
        &self,
        caller: &Caller,
        version: u64,
        room_id: Option<String>,
    ) -> Result<Vec<(SessionId, Bytes)>, BackupError> {
        let user = caller.localpart().to_owned();
        let found = self.context.store.read(move |rows| {
            find(rows, &user, version)?;
            Ok(key_backups::keys(rows, &user, version, room_id.as_deref())?)
        });
        found.await
    }

    /// Deletes all keys of the backup, those of one room, or one. Answers count and etag.
    pub async fn delete_keys(
        &self,
        caller: &Caller,
        version: u64,
        room_id: Option<String>,
        session_id: Option<String>,
    ) -> Result<(u64, u64), BackupError> {
        let user = caller.localpart().to_owned();
        self.context
            .change(move |rows, batch| {
                let old = find(rows, &user, version)?;
                let keys = key_backups::keys(rows, &user, version, room_id.as_deref())?;
                let wanted = |id: &SessionId| {
                    session_id.as_ref().is_none_or(|wanted| *wanted == id.session_id)
                };
                let mut backup = old.clone();
                for (id, _) in keys.iter().filter(|(id, _)| wanted(id)) {
                    key_backups::delete_key(batch, &user, version, id);
                    backup.count -= 1;
                }
                if backup != old {
                    backup.etag += 1;
                    key_backups::put(batch, &user, version, &backup, Some(&old));
                }
                Ok(((backup.count, backup.etag), nothing()))
            })
            .await
    }
}

/// No other device is told of it: clients ask.
fn nothing() -> LogEntry {
    vec![Change::Nothing]
}

fn find(rows: &Snapshot, user: &str, version: u64) -> Result<Backup, BackupError> {
    let backup = key_backups::get(rows, user, version)?.filter(|backup| !backup.deleted);
    backup.ok_or(BackupError::UnknownBackup)
}

fn add(
    rows: &Snapshot,
    batch: &mut Batch,
    (user, version, old): (&str, u64, &Backup),
    keys: &[(SessionId, Map<String, Value>)],
) -> Result<Backup, StoreError> {
    let mut backup = old.clone();
    for (id, key) in keys {
        let stored = key_backups::key(rows, user, version, id)?;
        let stored = stored.map(|stored| parse(&stored)).transpose()?;
        if stored.as_ref().is_some_and(|stored| !is_better(key, stored)) {
            continue;
        }
        backup.count += u64::from(stored.is_none());
        let json = Value::Object(key.clone()).to_string();
        key_backups::put_key(batch, user, version, id, json.as_bytes());
    }
    if !batch.ops.is_empty() {
        backup.etag += 1;
    }
    Ok(backup)
}

fn parse(json: &[u8]) -> Result<Map<String, Value>, StoreError> {
    serde_json::from_slice(json).map_err(|_| value::corrupt("backed-up key"))
}

/// "if the keys have different values for `is_verified`, then it will keep the key that has
/// `is_verified` set to true; if they have the same values for `is_verified`, then it will keep the
/// key with a lower `first_message_index`; and finally, if `is_verified` and `first_message_index`
/// are equal, then it will keep the key with a lower `forwarded_count`."
fn is_better(new: &Map<String, Value>, old: &Map<String, Value>) -> bool {
    let number = |key: &Map<String, Value>, field: &str| {
        key.get(field).and_then(Value::as_u64).unwrap_or(u64::MAX)
    };
    let rank = |key: &Map<String, Value>| {
        let verified = key.get("is_verified").and_then(Value::as_bool).unwrap_or(false);
        (!verified, number(key, "first_message_index"), number(key, "forwarded_count"))
    };
    rank(new) < rank(old)
}

//! End-to-end keys: what devices publish about themselves so that others can encrypt for them.
//!
//! The server never sees a secret key. It checks the shape of what it will pass on to others, and
//! the signatures that say which key belongs to whom.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#end-to-end-encryption>

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, OnceLock},
};

use kv::{Batch, CommitError, Snapshot, StoreError};
use ruma::UserId;
use serde_json::{Map, Value};
use store::{
    device_keys::{self, FallbackKey, OneTimeKey},
    devices,
    log::{Change, LogEntry},
};
use tokio::sync::{Mutex, MutexGuard};

use crate::{Context, sessions::Caller};

mod changes;
mod claim;
mod cross_signing;
mod query;
mod remote;
mod signatures;
mod signed;
#[cfg(test)]
mod tests;

pub use self::{
    cross_signing::{CrossSigningError, CrossSigningKeys},
    query::QueryAnswer,
    remote::RemoteKeys,
    signatures::{Refusal, SignatureFailure},
};

/// One-time keys of a device, of all algorithms. Clients keep 50 or 100.
const ONE_TIME_KEYS_MAX: usize = 1_000;
/// Bytes of a device's identity keys as JSON, and of a one-time key.
const DEVICE_KEYS_BYTES_MAX: usize = 32 * 1024;
const ONE_TIME_KEY_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a key's id, the algorithm included.
const KEY_ID_BYTES_MAX: usize = 255;
/// Users' one-time keys change one after the other, some users sharing a turn.
const TURNS: usize = 32;

/// What a device uploads.
#[derive(Clone, Debug, Default)]
pub struct KeyUpload {
    pub device_keys: Option<Map<String, Value>>,
    /// `algorithm:id` → key.
    pub one_time_keys: Map<String, Value>,
    pub fallback_keys: Map<String, Value>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    #[error("only devices have keys")]
    NoDevice,
    #[error("the keys are not well-formed: {0}")]
    Malformed(&'static str),
    #[error("there is another one-time key with the id {0}")]
    Conflict(String),
    #[error("the device has too many one-time keys")]
    TooMany,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct Keys {
    context: Context,
    turns: [Mutex<()>; TURNS],
    remote: OnceLock<Arc<dyn RemoteKeys>>,
}

impl Keys {
    pub fn new(context: Context) -> Self {
        Self { context, turns: std::array::from_fn(|_| Mutex::new(())), remote: OnceLock::new() }
    }

    /// Plugs in the way to other servers, once.
    pub fn connect(&self, remote: Arc<dyn RemoteKeys>) {
        let _only_once = self.remote.set(remote);
    }

    /// Publishes keys of the caller's device. Answers how many one-time keys it has, by algorithm.
    pub async fn upload(
        &self,
        caller: &Caller,
        upload: KeyUpload,
    ) -> Result<BTreeMap<String, u64>, KeyError> {
        let device_id = caller.device_id.clone().ok_or(KeyError::NoDevice)?;
        if let Some(keys) = &upload.device_keys {
            check_device_keys(keys, &caller.user_id, device_id.as_str())?;
        }
        let one_time_keys = parse(&upload.one_time_keys)?;
        let fallback_keys = parse(&upload.fallback_keys)?;
        let user_id = caller.user_id.clone();
        let _turn = self.turn(user_id.localpart()).await;
        let (user, device) = (user_id.localpart().to_owned(), device_id.to_string());
        self.context
            .change(move |rows, batch| {
                let owner = (user_id.localpart(), device_id.as_str());
                if devices::get(rows, owner.0, owner.1)?.is_none() {
                    return Err(KeyError::NoDevice);
                }
                let mut changes: LogEntry =
                    vec![Change::ToDevice { user: owner.0.to_owned(), device: owner.1.to_owned() }];
                if let Some(keys) = &upload.device_keys {
                    changes.extend(put_device_keys(rows, batch, &user_id, (owner.1, keys))?);
                }
                add_one_time_keys(rows, batch, owner, &one_time_keys)?;
                put_fallback_keys(rows, batch, owner, &fallback_keys)?;
                Ok::<_, KeyError>(((), changes))
            })
            .await?;
        let counts = self.context.store.read(move |rows| {
            device_keys::one_time_key_counts(rows, &user, &device).map_err(KeyError::from)
        });
        counts.await
    }

    /// Waits for the user's turn to change one-time keys.
    async fn turn(&self, localpart: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        localpart.hash(&mut hasher);
        self.turns[hasher.finish() as usize % TURNS].lock().await
    }
}

/// Notes in the batch that the user's devices or keys change, for those who share a room with him.
pub(crate) fn note_changed(
    rows: &Snapshot,
    batch: &mut Batch,
    user_id: &UserId,
) -> Result<Change, StoreError> {
    let before = device_keys::changed_at(rows, user_id.as_str())?;
    device_keys::put_changed(batch, user_id.as_str(), before);
    Ok(Change::DeviceList { user: user_id.to_string() })
}

/// A key as it was uploaded, by its algorithm.
type Uploaded = (String, OneTimeKey);

fn parse(keys: &Map<String, Value>) -> Result<Vec<Uploaded>, KeyError> {
    let key = |(id, key): (&String, &Value)| {
        let json = key.to_string();
        match id.split_once(':') {
            _ if id.len() > KEY_ID_BYTES_MAX || json.len() > ONE_TIME_KEY_BYTES_MAX => {
                Err(KeyError::Malformed("a one-time key is too long"))
            }
            Some((algorithm, id)) if key.is_string() || key.is_object() => {
                Ok((algorithm.to_owned(), OneTimeKey { id: id.to_owned(), json }))
            }
            _ => Err(KeyError::Malformed("a one-time key")),
        }
    };
    keys.iter().map(key).collect()
}

/// What is passed on to other servers must be what they accept: one malformed device would keep
/// everybody from encrypting for its user.
fn check_device_keys(
    keys: &Map<String, Value>,
    user_id: &UserId,
    device_id: &str,
) -> Result<(), KeyError> {
    let malformed = |what| Err(KeyError::Malformed(what));
    if keys.get("user_id").and_then(Value::as_str) != Some(user_id.as_str()) {
        return malformed("user_id is not the caller's");
    }
    if keys.get("device_id").and_then(Value::as_str) != Some(device_id) {
        return malformed("device_id is not the caller's");
    }
    let strings =
        |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    if !keys.get("algorithms").is_some_and(strings) {
        return malformed("algorithms");
    }
    let public = keys.get("keys").and_then(Value::as_object);
    let suffix = format!(":{device_id}");
    let well_formed = |(id, key): (&String, &Value)| id.ends_with(&suffix) && key.is_string();
    if !public.is_some_and(|public| !public.is_empty() && public.iter().all(well_formed)) {
        return malformed("keys");
    }
    if !keys.get("signatures").is_some_and(signed::are_signatures) {
        return malformed("signatures");
    }
    if Value::Object(keys.clone()).to_string().len() > DEVICE_KEYS_BYTES_MAX {
        return malformed("they are too long");
    }
    Ok(())
}

fn put_device_keys(
    rows: &Snapshot,
    batch: &mut Batch,
    user_id: &UserId,
    (device_id, keys): (&str, &Map<String, Value>),
) -> Result<Option<Change>, StoreError> {
    let old = device_keys::device(rows, user_id.localpart(), device_id)?;
    let mut keys = keys.clone();
    keys.remove("unsigned");
    if let Some(old) = &old {
        signed::keep_signatures(&mut keys, &signed::read(old)?);
    }
    let json = Value::Object(keys).to_string();
    if old.as_ref() == Some(&json) {
        return Ok(None);
    }
    device_keys::put_device(batch, user_id.localpart(), device_id, &json, old.as_deref());
    note_changed(rows, batch, user_id).map(Some)
}

fn add_one_time_keys(
    rows: &Snapshot,
    batch: &mut Batch,
    (localpart, device_id): (&str, &str),
    keys: &[Uploaded],
) -> Result<(), KeyError> {
    if keys.is_empty() {
        return Ok(());
    }
    let stored = device_keys::one_time_keys(rows, localpart, device_id)?;
    let known: BTreeMap<(&str, &str), &str> = stored
        .iter()
        .map(|(algorithm, _, key)| ((algorithm.as_str(), key.id.as_str()), key.json.as_str()))
        .collect();
    if stored.len() + keys.len() > ONE_TIME_KEYS_MAX {
        return Err(KeyError::TooMany);
    }
    for (algorithm, key) in keys {
        match known.get(&(algorithm.as_str(), key.id.as_str())) {
            // The client did not receive the answer, and uploads it again.
            Some(json) if *json == key.json => {}
            Some(_) => return Err(KeyError::Conflict(format!("{algorithm}:{}", key.id))),
            None => device_keys::add_one_time_key(batch, localpart, device_id, algorithm, key),
        }
    }
    Ok(())
}

fn put_fallback_keys(
    rows: &Snapshot,
    batch: &mut Batch,
    (localpart, device_id): (&str, &str),
    keys: &[Uploaded],
) -> Result<(), KeyError> {
    let stored: BTreeMap<String, FallbackKey> =
        device_keys::fallback_keys(rows, localpart, device_id)?.into_iter().collect();
    let new = |(algorithm, _): &&Uploaded| !stored.contains_key(algorithm);
    if stored.len() + keys.iter().filter(new).count() > ONE_TIME_KEYS_MAX {
        return Err(KeyError::TooMany);
    }
    for (algorithm, key) in keys {
        if stored.get(algorithm).is_none_or(|stored| stored.key != *key) {
            let key = FallbackKey { key: key.clone(), used: false };
            device_keys::put_fallback_key(batch, localpart, device_id, algorithm, &key);
        }
    }
    Ok(())
}

//! Cross-signing keys: with them a user says which devices are his, and whom he has verified.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#cross-signing>

use kv::{CommitError, Snapshot, StoreError};
use ruma::UserId;
use serde_json::{Map, Value};
use store::{
    device_keys::{self, Usage},
    devices,
};

use super::{Keys, note_changed, query::public_key, signed};
use crate::sessions::Caller;

/// Bytes of a key as JSON.
const KEY_BYTES_MAX: usize = 16 * 1024;

/// What a client uploads: the keys that are new.
#[derive(Clone, Debug, Default)]
pub struct CrossSigningKeys {
    pub master: Option<Map<String, Value>>,
    pub self_signing: Option<Map<String, Value>>,
    pub user_signing: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum CrossSigningError {
    #[error("the key is not well-formed: {0}")]
    Malformed(&'static str),
    #[error("there is no master key")]
    NoMasterKey,
    #[error("the key is not signed by the master key")]
    InvalidSignature,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl CrossSigningKeys {
    fn each(&self) -> impl Iterator<Item = (Usage, &Map<String, Value>)> {
        let keys = [
            (Usage::Master, &self.master),
            (Usage::SelfSigning, &self.self_signing),
            (Usage::UserSigning, &self.user_signing),
        ];
        keys.into_iter().filter_map(|(usage, key)| Some((usage, key.as_ref()?)))
    }
}

impl Keys {
    /// Whether the upload replaces keys that exist: then the user has to prove who he is. The
    /// first ones, and the same ones again, may be uploaded without.
    pub async fn replaces_cross_signing(
        &self,
        caller: &Caller,
        upload: &CrossSigningKeys,
    ) -> Result<bool, StoreError> {
        let (localpart, upload) = (caller.localpart().to_owned(), upload.clone());
        self.context
            .store
            .read(move |rows| {
                if device_keys::cross_signing(rows, &localpart, Usage::Master)?.is_none() {
                    return Ok(false);
                }
                for (usage, key) in upload.each() {
                    let stored = stored(rows, &localpart, usage)?;
                    if stored.and_then(|stored| public_key(&stored)) != public_key(key) {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .await
    }

    /// Publishes the keys.
    pub async fn upload_cross_signing(
        &self,
        caller: &Caller,
        upload: CrossSigningKeys,
    ) -> Result<(), CrossSigningError> {
        for (usage, key) in upload.each() {
            check(key, &caller.user_id, usage)?;
        }
        let user_id = caller.user_id.clone();
        self.context
            .change(move |rows, batch| {
                let localpart = user_id.localpart();
                let master = match &upload.master {
                    Some(master) => master.clone(),
                    None => stored(rows, localpart, Usage::Master)?
                        .ok_or(CrossSigningError::NoMasterKey)?,
                };
                let master = public_key(&master).ok_or(CrossSigningError::NoMasterKey)?;
                if devices::get(rows, localpart, &master)?.is_some() {
                    return Err(CrossSigningError::Malformed("it is the id of a device"));
                }
                for (usage, key) in upload.each() {
                    if usage != Usage::Master && !is_signed_by_master(key, &user_id, &master) {
                        return Err(CrossSigningError::InvalidSignature);
                    }
                    let old = device_keys::cross_signing(rows, localpart, usage)?;
                    let mut key = key.clone();
                    key.remove("unsigned");
                    if let Some(old) = &old {
                        signed::keep_signatures(&mut key, &signed::read(old)?);
                    }
                    let json = Value::Object(key).to_string();
                    let old = old.as_deref();
                    device_keys::put_cross_signing(batch, localpart, usage, &json, old);
                }
                let changed = note_changed(rows, batch, &user_id)?;
                Ok(((), vec![changed]))
            })
            .await
    }
}

/// The key as it is stored.
pub(super) fn stored(
    rows: &Snapshot,
    localpart: &str,
    usage: Usage,
) -> Result<Option<Map<String, Value>>, StoreError> {
    let json = device_keys::cross_signing(rows, localpart, usage)?;
    json.map(|json| signed::read(&json)).transpose()
}

fn check(
    key: &Map<String, Value>,
    user_id: &UserId,
    usage: Usage,
) -> Result<(), CrossSigningError> {
    let malformed = |what| Err(CrossSigningError::Malformed(what));
    if key.get("user_id").and_then(Value::as_str) != Some(user_id.as_str()) {
        return malformed("user_id is not the caller's");
    }
    let name = match usage {
        Usage::Master => "master",
        Usage::SelfSigning => "self_signing",
        Usage::UserSigning => "user_signing",
    };
    let usages = key.get("usage").and_then(Value::as_array);
    if !usages.is_some_and(|usages| usages.iter().any(|usage| usage == name)) {
        return malformed("usage");
    }
    let public = key.get("keys").and_then(Value::as_object);
    let well_formed = public.is_some_and(|public| {
        public.len() == 1
            && public
                .iter()
                .all(|(id, key)| key.as_str().is_some_and(|key| *id == format!("ed25519:{key}")))
    });
    if !well_formed {
        return malformed("keys");
    }
    if !key.get("signatures").is_none_or(signed::are_signatures) {
        return malformed("signatures");
    }
    if Value::Object(key.clone()).to_string().len() > KEY_BYTES_MAX {
        return malformed("it is too long");
    }
    Ok(())
}

fn is_signed_by_master(key: &Map<String, Value>, user_id: &UserId, master: &str) -> bool {
    let key_id = format!("ed25519:{master}");
    signed::signatures_of(key, user_id.as_str())
        .any(|(id, signature)| id == key_id && signed::is_signed_by(key, signature, master))
}

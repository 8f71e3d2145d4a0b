//! Signatures that users make of their own devices and of others' master keys.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keyssignaturesupload>

use kv::{Batch, Snapshot, StoreError};
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value};
use store::{
    device_keys::{self, Usage},
    log::LogEntry,
};

use super::{KeyError, Keys, cross_signing::stored, note_changed, query::public_key, signed};
use crate::sessions::Caller;

/// Signed objects of one request.
const OBJECTS_MAX: usize = 1_000;

/// An object with a signature that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFailure {
    pub user: OwnedUserId,
    /// The device id or public key by which the object was uploaded.
    pub key: String,
    pub reason: Refusal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such device or key.
    UnknownKey,
    /// The object is not the one that is known, or the signature is not by a key of the caller.
    InvalidSignature,
}

/// A signed object, by user and key.
type Signed = (OwnedUserId, String, Map<String, Value>);

impl Keys {
    /// Adds the caller's signatures in the objects to what is known; answers which were not taken.
    pub async fn upload_signatures(
        &self,
        caller: &Caller,
        objects: Vec<Signed>,
    ) -> Result<Vec<SignatureFailure>, KeyError> {
        if objects.len() > OBJECTS_MAX {
            return Err(KeyError::TooMany);
        }
        let signer = caller.user_id.clone();
        let context = self.context.clone();
        self.context
            .change(move |rows, batch| {
                let (mut failures, mut changes) = (Vec::new(), LogEntry::new());
                for (user, key, object) in &objects {
                    let taken = if *user == signer {
                        take_own(rows, batch, &signer, (key, object))?
                    } else {
                        let is_local = context.is_local(user);
                        take_of_other(rows, batch, &signer, (user, is_local), (key, object))?
                    };
                    match taken {
                        Ok(()) => changes.push(note_changed(rows, batch, user)?),
                        Err(reason) => {
                            let (user, key) = (user.clone(), key.clone());
                            failures.push(SignatureFailure { user, key, reason });
                        }
                    }
                }
                Ok((failures, changes))
            })
            .await
    }
}

type Taken = Result<Result<(), Refusal>, StoreError>;

/// A device of the signer, signed by his self-signing key; or his master key, signed by a device.
fn take_own(
    rows: &Snapshot,
    batch: &mut Batch,
    signer: &UserId,
    (key, object): (&str, &Map<String, Value>),
) -> Taken {
    let localpart = signer.localpart();
    if let Some(json) = device_keys::device(rows, localpart, key)? {
        let mut known = signed::read(&json)?;
        let by = stored(rows, localpart, Usage::SelfSigning)?.and_then(|key| public_key(&key));
        let by = |key_id: &str| by.clone().filter(|by| key_id == format!("ed25519:{by}"));
        if !add_signatures(&mut known, object, signer, by) {
            return Ok(Err(Refusal::InvalidSignature));
        }
        let new = Value::Object(known).to_string();
        device_keys::put_device(batch, localpart, key, &new, Some(&json));
        return Ok(Ok(()));
    }
    let Some(json) = device_keys::cross_signing(rows, localpart, Usage::Master)? else {
        return Ok(Err(Refusal::UnknownKey));
    };
    let mut known = signed::read(&json)?;
    if public_key(&known).as_deref() != Some(key) {
        return Ok(Err(Refusal::UnknownKey));
    }
    let devices = device_keys::devices(rows, localpart)?;
    let by = |key_id: &str| {
        let (_, device_id) = key_id.split_once(':')?;
        let (_, json) = devices.iter().find(|(known, _)| known == device_id)?;
        Some(signed::read(json).ok()?.get("keys")?.get(key_id)?.as_str()?.to_owned())
    };
    if !add_signatures(&mut known, object, signer, by) {
        return Ok(Err(Refusal::InvalidSignature));
    }
    let new = Value::Object(known).to_string();
    device_keys::put_cross_signing(batch, localpart, Usage::Master, &new, Some(&json));
    Ok(Ok(()))
}

/// The master key of another user, signed by the signer's user-signing key.
fn take_of_other(
    rows: &Snapshot,
    batch: &mut Batch,
    signer: &UserId,
    (user, is_local): (&UserId, bool),
    (key, object): (&str, &Map<String, Value>),
) -> Taken {
    if public_key(object).as_deref() != Some(key) {
        return Ok(Err(Refusal::UnknownKey));
    }
    if is_local {
        let known = stored(rows, user.localpart(), Usage::Master)?;
        let Some(known) = known.filter(|known| public_key(known).as_deref() == Some(key)) else {
            return Ok(Err(Refusal::UnknownKey));
        };
        if signed::unsigned(&known) != signed::unsigned(object) {
            return Ok(Err(Refusal::InvalidSignature));
        }
    }
    let by = stored(rows, signer.localpart(), Usage::UserSigning)?;
    let Some(by) = by.and_then(|key| public_key(&key)) else {
        return Ok(Err(Refusal::InvalidSignature));
    };
    let key_id = format!("ed25519:{by}");
    let mut made = signed::signatures_of(object, signer.as_str());
    let signature =
        made.find(|(id, signature)| *id == key_id && signed::is_signed_by(object, signature, &by));
    let Some((key_id, signature)) = signature else { return Ok(Err(Refusal::InvalidSignature)) };
    let json = serde_json::json!({ key_id: signature }).to_string();
    device_keys::put_signatures(batch, signer.localpart(), (user.as_str(), key), &json);
    Ok(Ok(()))
}

/// Adds the signer's signatures in `object` to what is known of it, if all of them that are new are
/// good and there is one. `by` gives the public key of a key id.
fn add_signatures(
    known: &mut Map<String, Value>,
    object: &Map<String, Value>,
    signer: &UserId,
    by: impl Fn(&str) -> Option<String>,
) -> bool {
    if signed::unsigned(known) != signed::unsigned(object) {
        return false;
    }
    let old: Vec<(String, String)> = signed::signatures_of(known, signer.as_str())
        .map(|(id, signature)| (id.to_owned(), signature.to_owned()))
        .collect();
    let mut any = false;
    for (key_id, signature) in signed::signatures_of(object, signer.as_str()) {
        if old.iter().any(|(id, known)| id == key_id && known == signature) {
            continue;
        }
        let Some(public) = by(key_id) else { return false };
        if !signed::is_signed_by(object, signature, &public) {
            return false;
        }
        signed::sign(known, signer.as_str(), key_id, signature);
        any = true;
    }
    any || !old.is_empty()
}

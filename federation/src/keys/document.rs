//! Key documents: written, read and checked.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#publishing-keys>

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use model::canonical_json;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, ServerName,
    serde::Base64,
    signatures::{self, PublicKeyMap, PublicKeySet, VerificationError},
};
use services::{Context, identity::OldKey};

/// Bytes of a document that is kept.
const BYTES_MAX: usize = 65_536;
/// Keys that are read of one document.
const KEYS_MAX: usize = 32;

/// What a document states, once its signatures have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    pub current: Vec<(String, [u8; 32])>,
    /// With the moment at which each went out of use.
    pub old: Vec<(String, [u8; 32], u64)>,
    pub valid_until_ms: u64,
}

/// Why a document is worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error(transparent)]
    NotCanonical(#[from] canonical_json::NotCanonical),
    #[error("it is larger than {BYTES_MAX} bytes")]
    TooLarge,
    #[error("`{0}` is missing or of the wrong type")]
    Field(&'static str),
    #[error("it is another server's")]
    OtherServer,
    #[error("none of its own keys has signed it")]
    NotSigned,
    #[error("the signature is not valid")]
    Signature(#[from] VerificationError),
    #[error("it cannot be signed")]
    Sign(#[from] signatures::JsonError),
}

/// Reads a server's document, which must be signed by at least one of the keys that it names, and
/// wrongly by none. Returns it in canonical form, too.
pub fn read(server: &ServerName, json: &[u8]) -> Result<(Stated, Bytes), DocumentError> {
    if json.len() > BYTES_MAX {
        return Err(DocumentError::TooLarge);
    }
    let mut object = canonical_json::parse(json)?;
    if string(&object, "server_name") != Some(server.as_str()) {
        return Err(DocumentError::OtherServer);
    }
    let stated = Stated {
        current: keys(&object, "verify_keys", |_| Some(()))?
            .into_iter()
            .map(|(id, key, ())| (id, key))
            .collect(),
        old: keys(&object, "old_verify_keys", |key| integer(key, "expired_ts"))?,
        valid_until_ms: integer(&object, "valid_until_ts")
            .ok_or(DocumentError::Field("valid_until_ts"))?,
    };
    if !has_signed(server, &stated, &object) {
        return Err(DocumentError::NotSigned);
    }
    verify(server, &stated, &object)?;
    keep_only_own_signatures(server, &mut object);
    Ok((stated, canonical_json::to_bytes(&object).into()))
}

/// Checks that the notary has signed what it handed over.
pub fn check_notary(
    notary: &ServerName,
    notary_keys: &Stated,
    json: &[u8],
) -> Result<(), DocumentError> {
    let object = canonical_json::parse(json)?;
    if !has_signed(notary, notary_keys, &object) {
        return Err(DocumentError::NotSigned);
    }
    verify(notary, notary_keys, &object)
}

/// Our own document.
pub fn write(
    context: &Context,
    old: &[OldKey],
    valid_until_ms: u64,
) -> Result<Bytes, DocumentError> {
    let key = |public: &[u8; 32]| {
        CanonicalJsonObject::from([("key".to_owned(), STANDARD_NO_PAD.encode(public).into())])
    };
    let current = CanonicalJsonObject::from([(
        context.signing_key.current().key_id().to_string(),
        key(&context.signing_key.current().public_key()).into(),
    )]);
    let old: CanonicalJsonObject = old
        .iter()
        .map(|old| {
            let mut value = key(&old.public);
            value.insert("expired_ts".to_owned(), timestamp(old.expired_ms));
            (format!("ed25519:{}", old.version), value.into())
        })
        .collect();
    let mut object = CanonicalJsonObject::from([
        ("server_name".to_owned(), context.server_name.as_str().into()),
        ("valid_until_ts".to_owned(), timestamp(valid_until_ms)),
        ("verify_keys".to_owned(), current.into()),
        ("old_verify_keys".to_owned(), old.into()),
    ]);
    context.signing_key.current().sign_json(&context.server_name, &mut object)?;
    Ok(canonical_json::to_bytes(&object).into())
}

/// Adds our signature, as a notary, to a document that [`read`] has checked.
pub fn countersign(context: &Context, document: &Bytes) -> Result<Bytes, DocumentError> {
    let mut object = canonical_json::parse(document)?;
    context.signing_key.current().sign_json(&context.server_name, &mut object)?;
    Ok(canonical_json::to_bytes(&object).into())
}

/// Whether there is a signature of the server by one of these keys.
fn has_signed(server: &ServerName, stated: &Stated, object: &CanonicalJsonObject) -> bool {
    let signatures = object
        .get("signatures")
        .and_then(CanonicalJsonValue::as_object)
        .and_then(|signatures| signatures.get(server.as_str()))
        .and_then(CanonicalJsonValue::as_object);
    signatures.is_some_and(|by| stated.current.iter().any(|(id, _)| by.contains_key(id)))
}

fn verify(
    server: &ServerName,
    stated: &Stated,
    object: &CanonicalJsonObject,
) -> Result<(), DocumentError> {
    // Other servers may have signed as well: only this one's signatures are looked at.
    let mut object = object.clone();
    keep_only_own_signatures(server, &mut object);
    let keys: PublicKeySet =
        stated.current.iter().map(|(id, key)| (id.clone(), Base64::new(key.to_vec()))).collect();
    let keys = PublicKeyMap::from([(server.to_string(), keys)]);
    Ok(signatures::verify_json(&keys, &object)?)
}

fn keep_only_own_signatures(server: &ServerName, object: &mut CanonicalJsonObject) {
    if let Some(CanonicalJsonValue::Object(signatures)) = object.get_mut("signatures") {
        signatures.retain(|signer, _| signer == server.as_str());
    }
}

/// The Ed25519 keys of a field, with what else is read of each. Keys of other kinds are passed
/// over, and so are points for which anybody can make signatures.
fn keys<T>(
    object: &CanonicalJsonObject,
    field: &'static str,
    also: impl Fn(&CanonicalJsonObject) -> Option<T>,
) -> Result<Vec<(String, [u8; 32], T)>, DocumentError> {
    let found = match object.get(field) {
        Some(CanonicalJsonValue::Object(found)) => found,
        None if field == "old_verify_keys" => return Ok(Vec::new()),
        _ => return Err(DocumentError::Field(field)),
    };
    let mut keys = Vec::new();
    for (id, value) in found.iter().take(KEYS_MAX) {
        let CanonicalJsonValue::Object(value) = value else {
            return Err(DocumentError::Field(field));
        };
        let public = string(value, "key").and_then(public_key);
        if let (true, Some(public)) = (id.starts_with("ed25519:") && id.len() < 255, public) {
            keys.push((id.clone(), public, also(value).ok_or(DocumentError::Field(field))?));
        }
    }
    Ok(keys)
}

fn public_key(encoded: &str) -> Option<[u8; 32]> {
    let bytes: Base64 = Base64::parse(encoded).ok()?;
    let bytes: [u8; 32] = bytes.as_bytes().try_into().ok()?;
    let key = VerifyingKey::from_bytes(&bytes).ok()?;
    (!key.is_weak()).then_some(bytes)
}

fn string<'a>(object: &'a CanonicalJsonObject, field: &str) -> Option<&'a str> {
    object.get(field)?.as_str()
}

fn integer(object: &CanonicalJsonObject, field: &str) -> Option<u64> {
    match object.get(field)? {
        CanonicalJsonValue::Integer(value) => u64::try_from(i64::from(*value)).ok(),
        _ => None,
    }
}

fn timestamp(ms: u64) -> CanonicalJsonValue {
    let int = i64::try_from(ms).ok().and_then(js_int::Int::new);
    CanonicalJsonValue::Integer(int.unwrap_or(js_int::Int::MAX))
}

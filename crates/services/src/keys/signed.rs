//! JSON objects with signatures of users' keys in them.

use base64::{Engine, alphabet, engine};
use kv::StoreError;
use ruma::{SigningKeyAlgorithm, canonical_json::CanonicalJsonValue};
use serde_json::{Map, Value};
use store::value;

/// Keys and signatures are unpadded base64; some libraries pad them.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// An object that was checked before it was stored.
pub(super) fn read(json: &str) -> Result<Map<String, Value>, StoreError> {
    serde_json::from_str(json).map_err(|_| value::corrupt("key"))
}

/// Whether the value has the shape of signatures: user → key id → signature.
pub(super) fn are_signatures(value: &Value) -> bool {
    let of_user = |value: &Value| {
        value.as_object().is_some_and(|signatures| signatures.values().all(Value::is_string))
    };
    value.as_object().is_some_and(|users| users.values().all(of_user))
}

/// The object without what signatures do not cover.
pub(super) fn unsigned(object: &Map<String, Value>) -> Map<String, Value> {
    let mut object = object.clone();
    object.remove("signatures");
    object.remove("unsigned");
    object
}

/// The user's signatures in the object, by key id.
pub(super) fn signatures_of<'a>(
    object: &'a Map<String, Value>,
    user_id: &str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let of_user = object.get("signatures").and_then(|signatures| signatures.get(user_id));
    let of_user = of_user.and_then(Value::as_object).into_iter().flatten();
    of_user.filter_map(|(key_id, signature)| Some((key_id.as_str(), signature.as_str()?)))
}

/// Whether `signature` over the object is by the public key.
pub(super) fn is_signed_by(object: &Map<String, Value>, signature: &str, public_key: &str) -> bool {
    let canonical = CanonicalJsonValue::try_from(Value::Object(unsigned(object)));
    let (Ok(canonical), Ok(signature), Ok(public_key)) =
        (canonical, BASE64.decode(signature), BASE64.decode(public_key))
    else {
        return false;
    };
    ruma::signatures::verify_canonical_json_bytes(
        &SigningKeyAlgorithm::Ed25519,
        &public_key,
        &signature,
        canonical.to_string().as_bytes(),
    )
    .is_ok()
}

/// Adds a signature.
pub(super) fn sign(object: &mut Map<String, Value>, user_id: &str, key_id: &str, signature: &str) {
    let signatures = object.entry("signatures").or_insert_with(|| Value::Object(Map::new()));
    if !signatures.is_object() {
        *signatures = Value::Object(Map::new());
    }
    let of_user = &mut signatures[user_id];
    if !of_user.is_object() {
        *of_user = Value::Object(Map::new());
    }
    of_user[key_id] = signature.into();
}

/// If the new object is about the same keys as the old one, it keeps the signatures that others
/// made of it.
pub(super) fn keep_signatures(new: &mut Map<String, Value>, old: &Map<String, Value>) {
    if unsigned(new) != unsigned(old) {
        return;
    }
    let Some(Value::Object(users)) = old.get("signatures") else { return };
    for user_id in users.keys() {
        for (key_id, signature) in signatures_of(old, user_id) {
            if signatures_of(new, user_id).all(|(known, _)| known != key_id) {
                sign(new, user_id, key_id, signature);
            }
        }
    }
}

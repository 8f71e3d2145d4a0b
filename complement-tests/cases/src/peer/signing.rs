//! The keys of a peer, and what is signed with them.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{
    CanonicalJsonObject, RoomVersionId,
    canonical_json::to_canonical_value,
    room_version_rules::RoomVersionRules,
    signatures::{Ed25519KeyPair, hash_and_sign_event, reference_hash, sign_json},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

const VERSION: &str = "peer";
const A_DAY: Duration = Duration::from_hours(24);

/// The signing key of a server, which knows whose it is.
pub struct Key {
    pair: Ed25519KeyPair,
    /// The server's name.
    pub server: String,
}

/// Milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "other servers compare what a peer says with their clocks"
)]
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    now.as_millis().try_into().expect("not in this age")
}

/// The rules of a room version.
pub fn rules(version: &str) -> RoomVersionRules {
    let version = RoomVersionId::try_from(version).expect("a room version");
    version.rules().expect("a room version that ruma knows")
}

/// JSON as the protocol signs it.
pub fn canonical(value: &Value) -> CanonicalJsonObject {
    serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{e} in {value}"))
}

impl Key {
    /// A new key.
    pub fn new(server: String) -> Self {
        let document = Ed25519KeyPair::generate();
        let pair = Ed25519KeyPair::from_der(&document, VERSION.into()).expect("a key");
        Self { pair, server }
    }

    /// What others verify with.
    pub fn public(&self) -> BTreeMap<String, String> {
        let key = STANDARD_NO_PAD.encode(self.pair.public_key());
        [(format!("ed25519:{VERSION}"), key)].into()
    }

    /// The answer to `GET /_matrix/key/v2/server`.
    pub fn document(&self) -> Value {
        let (id, key) = self.public().pop_first().expect("one key");
        let document = json!({
            "server_name": self.server,
            "verify_keys": { id: { "key": key } },
            "old_verify_keys": {},
            "valid_until_ts": now_ms() + u64::try_from(A_DAY.as_millis()).expect("a day"),
        });
        self.signed(&document)
    }

    /// A signed object.
    pub fn signed(&self, object: &Value) -> Value {
        let mut object = canonical(object);
        sign_json(&self.server, &self.pair, &mut object).expect("an object can be signed");
        serde_json::to_value(object).expect("it is JSON")
    }

    /// A hashed and signed event, and its id.
    pub fn signed_event(&self, event: &Value, version: &str) -> (String, Value) {
        let rules = rules(version);
        let mut event = canonical(event);
        hash_and_sign_event(&self.server, &self.pair, &mut event, &rules.redaction)
            .expect("an event can be signed");
        let hash = reference_hash(&event, &rules).expect("an event has a hash");
        (format!("${hash}"), serde_json::to_value(event).expect("it is JSON"))
    }

    /// The header of a request to another server.
    pub fn authorisation(&self, to: &str, method: &str, uri: &str, body: Option<&Value>) -> String {
        let mut request = json!({
            "method": method, "uri": uri, "origin": self.server, "destination": to,
        });
        if let Some(body) = body {
            request["content"] = body.clone();
        }
        // A case may want to send what no server may sign, such as fractions.
        if to_canonical_value(&request).is_err() {
            panic!("a request that cannot be signed: {request}");
        }
        let signed = self.signed(&request);
        let id = format!("ed25519:{VERSION}");
        let signature = signed["signatures"][&self.server][&id].as_str().expect("a signature");
        let origin = &self.server;
        format!(r#"X-Matrix origin="{origin}",destination="{to}",key="{id}",sig="{signature}""#)
    }
}

//! S18.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use futures_util::future::{BoxFuture, join_all};
use ruma::{OwnedUserId, ServerName, signatures::KeyPair, user_id};
use serde_json::{Map, Value, json};
use store::device_keys;

use super::{
    CrossSigningError, CrossSigningKeys, KeyError, KeyUpload, Refusal, RemoteKeys, signed,
};
use crate::{rooms::remote::RemoteError, sessions::Caller, testing::World};
use model::signing_key::SigningKey;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn device_keys_of(caller: &Caller) -> Map<String, Value> {
    let device = caller.device();
    object(json!({
        "user_id": caller.user_id,
        "device_id": device,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
        "keys": { format!("ed25519:{device}"): "ab", format!("curve25519:{device}"): "cd" },
        "signatures": { caller.user_id.as_str(): { format!("ed25519:{device}"): "ef" } },
    }))
}

/// A key pair of a user, as a client has it.
struct Pair(SigningKey);

impl Pair {
    fn new(seed: u8) -> Self {
        Self(SigningKey::from_seed([seed; 32], "x").unwrap())
    }

    fn public(&self) -> String {
        self.0.public_key_base64()
    }

    fn key_id(&self) -> String {
        format!("ed25519:{}", self.public())
    }

    /// Adds a signature under this key id.
    fn sign(&self, user: &Caller, key_id: &str, object: &mut Map<String, Value>) {
        let bare = Value::Object(signed::unsigned(object));
        let bare = ruma::canonical_json::CanonicalJsonValue::try_from(bare).unwrap().to_string();
        let signature = self.0.key_pair().sign(bare.as_bytes());
        let signature = STANDARD_NO_PAD.encode(signature.as_bytes());
        signed::sign(object, user.user_id.as_str(), key_id, &signature);
    }

    fn cross_signing(&self, user: &Caller, usage: &str) -> Map<String, Value> {
        object(json!({
            "user_id": user.user_id, "usage": [usage], "keys": { self.key_id(): self.public() },
        }))
    }
}

/// The three keys of a user, and what he uploads of them.
struct Identity {
    master: Pair,
    self_signing: Pair,
    user_signing: Pair,
    upload: CrossSigningKeys,
}

fn identity(user: &Caller, seed: u8) -> Identity {
    let (master, self_signing, user_signing) =
        (Pair::new(seed), Pair::new(seed + 1), Pair::new(seed + 2));
    let signed = |pair: &Pair, usage| {
        let mut key = pair.cross_signing(user, usage);
        master.sign(user, &master.key_id(), &mut key);
        Some(key)
    };
    let upload = CrossSigningKeys {
        master: Some(master.cross_signing(user, "master")),
        self_signing: signed(&self_signing, "self_signing"),
        user_signing: signed(&user_signing, "user_signing"),
    };
    Identity { master, self_signing, user_signing, upload }
}

impl World {
    async fn upload(
        &self,
        caller: &Caller,
        one_time_keys: Value,
        fallback_keys: Value,
    ) -> Result<BTreeMap<String, u64>, KeyError> {
        let upload = KeyUpload {
            device_keys: Some(device_keys_of(caller)),
            one_time_keys: object(one_time_keys),
            fallback_keys: object(fallback_keys),
        };
        self.services.keys.upload(caller, upload).await
    }

    async fn claim(&self, caller: &Caller) -> Option<String> {
        let devices = BTreeMap::from([(caller.device().to_owned(), "a".to_owned())]);
        let claims = BTreeMap::from([(caller.user_id.clone(), devices)]);
        let claimed = self.services.keys.claim(claims).await.unwrap().one_time_keys;
        let keys = claimed.get(caller.user_id.as_str())?.get(caller.device())?.as_object()?;
        keys.keys().next().cloned()
    }

    async fn query(&self, asker: &Caller, user: &OwnedUserId) -> super::QueryAnswer {
        let wanted = BTreeMap::from([(user.clone(), Vec::new())]);
        self.services.keys.query(asker, wanted).await.unwrap()
    }
}

#[tokio::test]
async fn a_device_is_found_with_its_keys_and_its_name() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    world.upload(&alice, json!({}), json!({})).await.unwrap();
    let name = Some("Phone".to_owned());
    world.services.devices.rename(&alice, alice.device(), name).await.unwrap();
    let found = world.query(&bob, &alice.user_id).await;
    let keys = &found.device_keys[alice.user_id.as_str()][alice.device()];
    let mut expected = Value::Object(device_keys_of(&alice));
    expected["unsigned"] = json!({ "device_display_name": "Phone" });
    assert_eq!(*keys, expected);
    world.services.sessions.close(&alice).await.unwrap();
    let found = world.query(&bob, &alice.user_id).await;
    assert_eq!(found.device_keys[alice.user_id.as_str()], json!({}));
}

/// S13: what would break others is not taken.
#[tokio::test]
async fn malformed_keys_are_refused() {
    let world = World::new();
    let alice = world.user("alice").await;
    let changes = [
        ("user_id", json!("@bob:acme.example")),
        ("device_id", json!("OTHER")),
        ("device_id", Value::Null),
        ("algorithms", json!("all")),
        ("algorithms", json!([1])),
        ("keys", json!({})),
        ("keys", json!({ "ed25519:OTHER": "ab" })),
        ("keys", json!({ format!("ed25519:{}", alice.device()): 1 })),
        ("signatures", Value::Null),
        ("signatures", json!({ "@alice:acme.example": "ef" })),
        ("more", json!("x".repeat(40_000))),
    ];
    for (field, value) in changes {
        let mut keys = device_keys_of(&alice);
        keys.insert(field.to_owned(), value.clone());
        let upload = KeyUpload { device_keys: Some(keys), ..KeyUpload::default() };
        let answer = world.services.keys.upload(&alice, upload).await;
        assert!(matches!(answer, Err(KeyError::Malformed(_))), "{field} {value}");
    }
    for keys in [json!({ "a": "k" }), json!({ "a:1": null }), json!({ "a:1": [] })] {
        let answer = world.upload(&alice, keys.clone(), json!({})).await;
        assert!(matches!(answer, Err(KeyError::Malformed(_))), "{keys}");
    }
}

#[tokio::test]
async fn each_one_time_key_is_given_out_once_in_order_then_the_fallback() {
    let world = World::new();
    let alice = world.user("alice").await;
    let counts = world.upload(&alice, json!({ "a:9": "k", "b:1": "k" }), json!({ "a:f": "k" }));
    assert_eq!(counts.await.unwrap(), [("a".to_owned(), 1), ("b".to_owned(), 1)].into());
    let counts = world.upload(&alice, json!({ "a:1": "k" }), json!({})).await.unwrap();
    assert_eq!(counts["a"], 2);
    assert_eq!(world.claim(&alice).await.as_deref(), Some("a:9"));
    assert_eq!(world.claim(&alice).await.as_deref(), Some("a:1"));
    let fallback = |world: &World| {
        let rows = world.services.context.store.snapshot();
        device_keys::fallback_keys(&rows, "alice", alice.device()).unwrap()[0].1.used
    };
    assert!(!fallback(&world));
    assert_eq!(world.claim(&alice).await.as_deref(), Some("a:f"));
    assert_eq!(world.claim(&alice).await.as_deref(), Some("a:f"));
    assert!(fallback(&world));
}

#[tokio::test]
async fn claims_at_the_same_time_get_different_keys() {
    let world = World::new();
    let alice = world.user("alice").await;
    let keys: Map<String, Value> = (0..8).map(|n| (format!("a:{n}"), json!("k"))).collect();
    world.upload(&alice, Value::Object(keys), json!({})).await.unwrap();
    let mut claimed = join_all((0..10).map(|_| world.claim(&alice))).await;
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 9, "eight keys, and nothing");
}

#[tokio::test]
async fn a_one_time_key_cannot_be_replaced_by_another_of_its_id() {
    let world = World::new();
    let alice = world.user("alice").await;
    world.upload(&alice, json!({ "a:1": "k" }), json!({})).await.unwrap();
    let same = world.upload(&alice, json!({ "a:1": "k" }), json!({})).await.unwrap();
    assert_eq!(same["a"], 1);
    let other = world.upload(&alice, json!({ "a:1": "other" }), json!({})).await;
    assert!(matches!(other, Err(KeyError::Conflict(id)) if id == "a:1"));
}

#[tokio::test]
async fn cross_signing_keys_are_replaced_only_with_a_proof_and_signed_by_the_master_key() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let keys = &world.services.keys;
    let (first, second) = (identity(&alice, 10), identity(&alice, 20));
    assert!(!keys.replaces_cross_signing(&alice, &first.upload).await.unwrap());
    keys.upload_cross_signing(&alice, first.upload.clone()).await.unwrap();
    assert!(!keys.replaces_cross_signing(&alice, &first.upload).await.unwrap());
    assert!(keys.replaces_cross_signing(&alice, &second.upload).await.unwrap());

    let forged =
        CrossSigningKeys { self_signing: second.upload.self_signing.clone(), ..Default::default() };
    let answer = keys.upload_cross_signing(&alice, forged).await;
    assert!(matches!(answer, Err(CrossSigningError::InvalidSignature)));
    let others = keys.upload_cross_signing(&bob, first.upload.clone()).await;
    assert!(matches!(others, Err(CrossSigningError::Malformed(_))));
    let without_master = CrossSigningKeys { master: None, ..identity(&bob, 30).upload };
    let answer = keys.upload_cross_signing(&bob, without_master).await;
    assert!(matches!(answer, Err(CrossSigningError::NoMasterKey)));

    let (own, others) =
        (world.query(&alice, &alice.user_id).await, world.query(&bob, &alice.user_id).await);
    for found in [&own, &others] {
        let master = &found.master_keys["@alice:acme.example"]["keys"];
        assert_eq!(*master, json!({ first.master.key_id(): first.master.public() }));
        assert!(found.self_signing_keys.contains_key("@alice:acme.example"));
    }
    assert!(own.user_signing_keys.contains_key("@alice:acme.example"));
    assert!(others.user_signing_keys.is_empty());
}

#[tokio::test]
async fn a_user_signs_his_device_and_for_his_own_eyes_anothers_master_key() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let keys = &world.services.keys;
    world.upload(&alice, json!({}), json!({})).await.unwrap();
    let (mine, bobs) = (identity(&alice, 10), identity(&bob, 20));
    keys.upload_cross_signing(&alice, mine.upload.clone()).await.unwrap();
    keys.upload_cross_signing(&bob, bobs.upload.clone()).await.unwrap();

    let mut device = device_keys_of(&alice);
    mine.self_signing.sign(&alice, &mine.self_signing.key_id(), &mut device);
    let mut master = bobs.upload.master.clone().unwrap();
    mine.user_signing.sign(&alice, &mine.user_signing.key_id(), &mut master);
    let objects = vec![
        (alice.user_id.clone(), alice.device().to_owned(), device),
        (bob.user_id.clone(), bobs.master.public(), master),
    ];
    assert_eq!(keys.upload_signatures(&alice, objects).await.unwrap(), []);

    let of_alice = world.query(&bob, &alice.user_id).await.device_keys;
    let signatures = &of_alice[alice.user_id.as_str()][alice.device()]["signatures"];
    let by = mine.self_signing.key_id();
    assert!(signatures[alice.user_id.as_str()][by.as_str()].is_string());
    world.upload(&alice, json!({}), json!({})).await.unwrap();
    let of_alice = world.query(&bob, &alice.user_id).await.device_keys;
    let signatures = &of_alice[alice.user_id.as_str()][alice.device()]["signatures"];
    assert!(signatures[alice.user_id.as_str()][by.as_str()].is_string(), "kept on upload");

    let by = mine.user_signing.key_id();
    for (asker, sees) in [(&alice, true), (&bob, false)] {
        let found = world.query(asker, &bob.user_id).await.master_keys;
        let signatures = &found[bob.user_id.as_str()]["signatures"];
        let signature = &signatures[alice.user_id.as_str()][by.as_str()];
        assert_eq!(signature.is_string(), sees, "{}", asker.user_id);
    }
}

#[tokio::test]
async fn a_forged_signature_is_not_taken() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let keys = &world.services.keys;
    world.upload(&alice, json!({}), json!({})).await.unwrap();
    let (mine, bobs) = (identity(&alice, 10), identity(&bob, 20));
    keys.upload_cross_signing(&alice, mine.upload.clone()).await.unwrap();
    keys.upload_cross_signing(&bob, bobs.upload.clone()).await.unwrap();
    let refused = async |user: &Caller, key: String, object| {
        let objects = vec![(user.user_id.clone(), key, object)];
        keys.upload_signatures(&alice, objects).await.unwrap()[0].reason
    };
    let mut by_another = device_keys_of(&alice);
    bobs.self_signing.sign(&alice, &mine.self_signing.key_id(), &mut by_another);
    let device = || alice.device().to_owned();
    assert_eq!(refused(&alice, device(), by_another).await, Refusal::InvalidSignature);
    let mut other_object = device_keys_of(&alice);
    other_object.insert("algorithms".to_owned(), json!([]));
    mine.self_signing.sign(&alice, &mine.self_signing.key_id(), &mut other_object);
    assert_eq!(refused(&alice, device(), other_object).await, Refusal::InvalidSignature);
    let unknown = refused(&alice, "GONE".to_owned(), device_keys_of(&alice)).await;
    assert_eq!(unknown, Refusal::UnknownKey);
    let mut by_master = bobs.upload.master.clone().unwrap();
    mine.master.sign(&alice, &mine.master.key_id(), &mut by_master);
    let answer = refused(&bob, bobs.master.public(), by_master).await;
    assert_eq!(answer, Refusal::InvalidSignature);
    let devices_of_bob = refused(&bob, bob.device().to_owned(), device_keys_of(&bob)).await;
    assert_eq!(devices_of_bob, Refusal::UnknownKey);
}

#[tokio::test]
async fn who_changed_his_keys_is_found_by_position() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let log = &world.services.context.log;
    let start = log.position();
    world.upload(&alice, json!({ "a:1": "k" }), json!({})).await.unwrap();
    world.upload(&bob, json!({}), json!({})).await.unwrap();
    let middle = log.position();
    world.upload(&bob, json!({ "a:1": "k" }), json!({})).await.unwrap();
    let changed = |since| {
        let rows = world.services.context.store.snapshot();
        let users = device_keys::changed(&rows, (since, log.position())).unwrap();
        users.into_iter().map(|(_, user)| user).collect::<Vec<_>>()
    };
    assert_eq!(changed(start), ["@alice:acme.example", "@bob:acme.example"]);
    assert!(changed(middle).is_empty(), "one-time keys are nobody else's business");
    world.services.sessions.close(&alice).await.unwrap();
    assert_eq!(changed(middle), ["@alice:acme.example"]);
    assert_eq!(changed(start), ["@bob:acme.example", "@alice:acme.example"]);
}

/// A server that lies about other servers' users.
struct Liar;

impl RemoteKeys for Liar {
    fn query<'a>(
        &'a self,
        _: &'a ServerName,
        _: Map<String, Value>,
    ) -> BoxFuture<'a, Result<Map<String, Value>, RemoteError>> {
        let carol = "@carol:b.example";
        let device = |user: &str, id: &str| json!({ "user_id": user, "device_id": id });
        let answer = json!({
            "device_keys": {
                carol: { "GOOD": device(carol, "GOOD"), "BAD": device("@x:b.example", "BAD") },
                "@alice:acme.example": { "EVIL": device("@alice:acme.example", "EVIL") },
            },
            "master_keys": { carol: { "user_id": "@alice:acme.example" } },
        });
        Box::pin(async move { Ok(object(answer)) })
    }

    fn claim<'a>(
        &'a self,
        _: &'a ServerName,
        _: Map<String, Value>,
    ) -> BoxFuture<'a, Result<Map<String, Value>, RemoteError>> {
        Box::pin(async { Err(RemoteError::Unreachable) })
    }
}

#[tokio::test]
async fn another_server_speaks_for_its_own_users_only() {
    let world = World::new();
    let alice = world.user("alice").await;
    let carol = user_id!("@carol:b.example").to_owned();
    let unreachable = world.query(&alice, &carol).await;
    assert!(unreachable.failures.contains_key("b.example"));
    world.services.keys.connect(Arc::new(Liar));
    let found = world.query(&alice, &carol).await;
    let expected = json!({ carol.as_str(): { "GOOD": { "user_id": carol, "device_id": "GOOD" } } });
    assert_eq!(Value::Object(found.device_keys), expected);
    assert!(found.master_keys.is_empty() && found.failures.is_empty());
    let claims = BTreeMap::from([(carol, BTreeMap::from([("GOOD".to_owned(), "a".to_owned())]))]);
    let claimed = world.services.keys.claim(claims).await.unwrap();
    assert!(claimed.failures.contains_key("b.example"));
}

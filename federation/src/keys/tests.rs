//! Keys, honest and not.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use model::signing_key::SigningKey;
use ruma::CanonicalJsonObject;
use serde_json::{Value, json};
use services::identity::{OVERLAP_MS, rotate};

use super::{DocumentError, KeyError, VALID_MS_MAX, When, document};
use crate::{
    FederationSettings,
    worlds::{World, server},
};

/// A server that answers with whatever document it was given.
#[derive(Clone, Default)]
struct Publisher {
    document: Arc<Mutex<Value>>,
    asked: Arc<AtomicUsize>,
}

impl Publisher {
    fn new(world: &World, name: &str, document: Value) -> Self {
        let publisher = Self::default();
        publisher.publish(document);
        let shared = publisher.clone();
        let answer = async move || {
            shared.asked.fetch_add(1, Ordering::Relaxed);
            axum::Json(shared.document.lock().unwrap().clone())
        };
        let router = Router::new().route("/_matrix/key/v2/server", get(answer));
        world.transport.open(server(name), router);
        publisher
    }

    fn publish(&self, document: Value) {
        *self.document.lock().unwrap() = document;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn key(seed: u8, version: &str) -> SigningKey {
    SigningKey::from_seed([seed; 32], version).unwrap()
}

/// A document of c.example that these keys have signed.
fn signed(mut document: Value, keys: &[&SigningKey]) -> Value {
    let mut object: CanonicalJsonObject = serde_json::from_value(document.take()).unwrap();
    for key in keys {
        key.sign_json(&server("c.example"), &mut object).unwrap();
    }
    serde_json::to_value(object).unwrap()
}

fn document_of(current: &SigningKey, old: Value, valid_until_ts: u64) -> Value {
    signed(
        json!({
            "server_name": "c.example",
            "verify_keys": { current.key_id().as_str(): { "key": current.public_key_base64() } },
            "old_verify_keys": old,
            "valid_until_ts": valid_until_ts,
        }),
        &[current],
    )
}

const NOW_MS: u64 = 1_767_225_600_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[tokio::test]
async fn our_document_says_what_others_need() {
    let mut world = World::new();
    let a = world.home("a.example").await;
    let json = a.keys.own_document().await.unwrap();
    let (stated, _) = document::read(&server("a.example"), &json).unwrap();
    let own = &a.context().signing_key.current();
    assert_eq!(stated.current, [(own.key_id().to_string(), own.public_key())]);
    assert_eq!(stated.old, []);
    assert_eq!(stated.valid_until_ms, NOW_MS + DAY_MS);
}

#[tokio::test]
async fn a_rotated_key_is_published_as_old_and_verifies_old_events_only() {
    let mut world = World::new();
    let a = world.home("a.example").await;
    let before = a.context().signing_key.current().public_key();
    rotate(a.context()).await.unwrap();
    assert_ne!(a.context().signing_key.current().public_key(), before);
    let b = world.home("b.example").await;
    let name = server("a.example");
    assert_eq!(b.keys.key(&name, "ed25519:1", When::At(NOW_MS)).await.unwrap(), before);
    assert_eq!(a.keys.key(&name, "ed25519:1", When::At(NOW_MS)).await.unwrap(), before);
    for when in [When::Now, When::At(NOW_MS + OVERLAP_MS + 1)] {
        assert!(b.keys.key(&name, "ed25519:1", when).await.is_err(), "{when:?}");
        assert!(a.keys.key(&name, "ed25519:1", when).await.is_err(), "{when:?}");
    }
}

#[tokio::test]
async fn a_new_key_is_found_right_after_the_old_one_was() {
    let mut world = World::new();
    let (a, b) = (world.home("a.example").await, world.home("b.example").await);
    let name = server("a.example");
    b.keys.key(&name, "ed25519:1", When::Now).await.unwrap();
    let new = rotate(a.context()).await.unwrap();
    let found = b.keys.key(&name, new.key_id().as_str(), When::Now).await;
    assert_eq!(found.unwrap(), new.public_key());
}

#[tokio::test]
async fn keys_are_fetched_once_and_kept() {
    let mut world = World::new();
    let a = world.home("a.example").await;
    let current = key(7, "c");
    let document = document_of(&current, json!({}), NOW_MS + DAY_MS);
    let publisher = Publisher::new(&world, "c.example", document);
    let name = server("c.example");
    let many = (0..10).map(|_| a.keys.key(&name, "ed25519:c", When::Now));
    for found in futures_util::future::join_all(many).await {
        assert_eq!(found.unwrap(), current.public_key());
    }
    assert_eq!(publisher.asked(), 1);
    world.transport.close(&name);
    let again = world.open("a.example", 1, [1; 32], FederationSettings::default()).await;
    assert!(again.keys.key(&name, "ed25519:c", When::Now).await.is_ok());
}

#[tokio::test]
async fn a_key_is_believed_within_its_time() {
    let mut world = World::new();
    let a = world.home("a.example").await;
    let current = key(7, "c");
    let old = json!({ "ed25519:o": {
        "key": key(8, "o").public_key_base64(), "expired_ts": NOW_MS - DAY_MS,
    } });
    let document = document_of(&current, old, NOW_MS + 1_000 * DAY_MS);
    let publisher = Publisher::new(&world, "c.example", document);
    let name = server("c.example");
    let ask = async |id: &str, when| a.keys.key(&name, id, when).await.is_ok();
    assert!(ask("ed25519:c", When::Now).await);
    assert!(ask("ed25519:c", When::At(NOW_MS - 100 * DAY_MS)).await);
    // A week is as far as a document reaches, whatever it says.
    assert!(ask("ed25519:c", When::At(NOW_MS + VALID_MS_MAX)).await);
    assert!(!ask("ed25519:c", When::At(NOW_MS + VALID_MS_MAX + 1)).await);
    assert!(ask("ed25519:o", When::At(NOW_MS - DAY_MS)).await);
    assert!(!ask("ed25519:o", When::At(NOW_MS - DAY_MS + 1)).await);
    assert!(!ask("ed25519:o", When::Now).await);
    // When its time is over, the server is asked again; if it is silent, the key is void.
    world.clock.advance(Duration::from_millis(VALID_MS_MAX + 1));
    let asked = publisher.asked();
    world.transport.close(&name);
    assert!(!ask("ed25519:c", When::Now).await);
    assert_eq!(publisher.asked(), asked);
    assert!(ask("ed25519:c", When::At(NOW_MS)).await);
}

#[tokio::test]
async fn invented_key_ids_do_not_make_us_ask_all_the_time() {
    let mut world = World::new();
    let a = world.home("a.example").await;
    let document = document_of(&key(7, "c"), json!({}), NOW_MS + DAY_MS);
    let publisher = Publisher::new(&world, "c.example", document);
    let name = server("c.example");
    for nth in 0..20 {
        let found = a.keys.key(&name, &format!("ed25519:x{nth}"), When::Now).await;
        assert!(matches!(found, Err(KeyError::NoSuchKey)), "{found:?}");
    }
    assert_eq!(publisher.asked(), 1);
    // A key that is really new is found a minute later.
    let new = key(9, "n");
    publisher.publish(document_of(&new, json!({}), NOW_MS + DAY_MS));
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(a.keys.key(&name, "ed25519:n", When::Now).await.unwrap(), new.public_key());
    // The replaced one still verifies what was sent before.
    assert!(a.keys.key(&name, "ed25519:c", When::At(NOW_MS)).await.is_ok());
    assert!(a.keys.key(&name, "ed25519:c", When::Now).await.is_err());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_alone_for_a_while() {
    let mut world = World::new();
    let a = world.home("a.example").await;
    let name = server("c.example");
    let first = a.keys.key(&name, "ed25519:c", When::Now).await;
    assert!(matches!(first, Err(KeyError::Fetch(_))), "{first:?}");
    let second = a.keys.key(&name, "ed25519:c", When::Now).await;
    assert!(matches!(second, Err(KeyError::NotNow)), "{second:?}");
    let document = document_of(&key(7, "c"), json!({}), NOW_MS + DAY_MS);
    let _publisher = Publisher::new(&world, "c.example", document);
    world.clock.advance(Duration::from_secs(2));
    assert!(a.keys.key(&name, "ed25519:c", When::Now).await.is_ok());
}

#[test]
fn documents_that_prove_nothing_are_refused() {
    let current = key(7, "c");
    let good = document_of(&current, json!({}), NOW_MS);
    let read = |document: &Value| {
        document::read(&server("c.example"), document.to_string().as_bytes()).map(|_| ())
    };
    assert!(read(&good).is_ok());
    let changed = |pointer: &str, value: Value| {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        document
    };
    let other = key(9, "c");
    for document in [
        changed("/server_name", json!("d.example")),
        changed("/valid_until_ts", json!(NOW_MS + 1)),
        changed("/valid_until_ts", json!("soon")),
        changed("/verify_keys", json!({})),
        changed("/verify_keys", json!([])),
        changed("/verify_keys/ed25519:c/key", json!(other.public_key_base64())),
        changed("/old_verify_keys", json!({ "ed25519:c": 1 })),
        changed("/signatures", json!({})),
        changed("/signatures", json!({ "c.example": { "ed25519:c": "AAAA" } })),
        // Signed by a key that it does not name.
        signed(changed("/signatures", json!({})), &[&key(9, "x")]),
        // A point of small order: anybody can sign for it.
        changed("/verify_keys/ed25519:c/key", json!("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
    ] {
        assert!(read(&document).is_err(), "{document}");
    }
    let large = vec![b' '; 70_000];
    let large = document::read(&server("c.example"), &large);
    assert!(matches!(large, Err(DocumentError::TooLarge)));
}

#[tokio::test]
async fn a_notary_helps_when_a_server_is_silent() {
    let mut world = World::new();
    let notary = world.home("notary.example").await;
    let settings = FederationSettings { notaries: vec![server("notary.example")] };
    let a = world.home_with("a.example", settings).await;
    let current = key(7, "c");
    let document = document_of(&current, json!({}), NOW_MS + DAY_MS);
    let _publisher = Publisher::new(&world, "c.example", document);
    let name = server("c.example");
    assert!(notary.keys.key(&name, "ed25519:c", When::Now).await.is_ok());
    world.transport.close(&name);
    let found = a.keys.key(&name, "ed25519:c", When::Now).await;
    assert_eq!(found.unwrap(), current.public_key());
}

#[tokio::test]
async fn a_notary_cannot_invent_a_key() {
    let mut world = World::new();
    let evil = key(5, "n");
    let mut own: CanonicalJsonObject = serde_json::from_value(json!({
        "server_name": "notary.example",
        "verify_keys": { "ed25519:n": { "key": evil.public_key_base64() } },
        "valid_until_ts": NOW_MS + DAY_MS,
    }))
    .unwrap();
    evil.sign_json(&server("notary.example"), &mut own).unwrap();
    // The notary's own signature is good, the server's is not.
    let mut forged = document_of(&key(6, "c"), json!({}), NOW_MS + DAY_MS);
    *forged.pointer_mut("/verify_keys/ed25519:c/key").unwrap() = json!(evil.public_key_base64());
    let mut forged: CanonicalJsonObject = serde_json::from_value(forged).unwrap();
    evil.sign_json(&server("notary.example"), &mut forged).unwrap();
    let (own, forged) = (json!(own), json!({ "server_keys": [forged] }));
    let router = Router::new()
        .route("/_matrix/key/v2/server", get(async move || axum::Json(own)))
        .route("/_matrix/key/v2/query", axum::routing::post(async move || axum::Json(forged)));
    world.transport.open(server("notary.example"), router);
    let settings = FederationSettings { notaries: vec![server("notary.example")] };
    let a = world.home_with("a.example", settings).await;
    assert!(a.keys.key(&server("c.example"), "ed25519:c", When::Now).await.is_err());
}

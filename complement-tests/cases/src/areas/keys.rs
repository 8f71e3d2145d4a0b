//! Keys of devices, and what goes from device to device.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{becomes, list, public_room, sync, text},
};
use harness::{Account, View, eventually};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestUploadKey", upload),
        case("TestKeyClaimOrdering", claim_ordering),
        case("TestUploadKeyIdempotency", |stage| idempotency(stage, &["A", "B"], 2)),
        case("TestUploadKeyIdempotencyOverlap", |stage| idempotency(stage, &["B", "C"], 3)),
        case("TestKeysQueryWithDeviceIDAsObjectFails", query_of_an_object),
        case("TestFederationKeyUploadQuery", over_federation),
        case("TestToDeviceMessages", |stage| to_device(stage, false)),
        case("TestToDeviceMessagesOverFederation", |stage| to_device(stage, true)),
        case("TestKeyChangesLocal", new_login),
        case("TestUserAppearsInChangedDeviceListOnJoinOverFederation", comes_from_afar),
        case("TestDeviceListsUpdateOverFederation", update_over_federation),
    ]
}

/// The identity keys of a device, as its user's other devices would sign them.
fn device_keys(of: &Account) -> Value {
    let id = &of.device_id;
    json!({
        "user_id": of.user_id,
        "device_id": id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {
            format!("curve25519:{id}"): "wjLpTLRqbqBzLs63aYaEv2Boi6cFEbbM/sSRQ2oAKk4",
            format!("ed25519:{id}"): "lEuiRJBit0IG6nUf5pUzWTUEsRVVe/HJkoKuEww9ULI",
        },
        "signatures": { of.user_id.as_str(): { format!("ed25519:{id}"): "c2lnbmF0dXJl" } },
    })
}

fn one_time_keys(names: &[&str]) -> Value {
    let keys = names.iter().map(|name| (format!("signed_curve25519:{name}"), one_time_key(name)));
    Value::Object(keys.collect())
}

fn one_time_key(key: &str) -> Value {
    json!({ "key": key, "signatures": { "@whoever:example.org": { "ed25519:ID": "c2lnbmF0dXJl" } } })
}

async fn give(of: &Account, body: Value) -> Value {
    of.post(&["keys", "upload"], &body).ok().await
}

async fn query(by: &Account, of: &Account) -> Value {
    let body = json!({ "device_keys": { of.user_id.as_str(): [] } });
    by.post(&["keys", "query"], &body).ok().await["device_keys"][&of.user_id].clone()
}

async fn claim(by: &Account, of: &Account) -> Value {
    let wanted = json!({ of.device_id.as_str(): "signed_curve25519" });
    let body = json!({ "one_time_keys": { of.user_id.as_str(): wanted } });
    by.post(&["keys", "claim"], &body).ok().await["one_time_keys"][&of.user_id][&of.device_id]
        .clone()
}

/// What differs from server to server: the name that the device was given.
fn without_unsigned(mut keys: Value) -> Value {
    keys.as_object_mut().expect("keys").remove("unsigned");
    keys
}

async fn upload(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let keys = device_keys(&alice);
    stage
        .row("Can upload device keys", async {
            let body = json!({ "device_keys": keys, "one_time_keys": one_time_keys(&["A"]) });
            let counts = give(&alice, body).await;
            assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 1, "{counts}");
        })
        .await;
    stage
        .row("Should reject keys claiming to belong to a different user", async {
            let mut foreign = keys.clone();
            foreign["user_id"] = json!(bob.user_id);
            let call = alice.post(&["keys", "upload"], &json!({ "device_keys": foreign }));
            let answer = call.answer().await;
            assert_eq!(answer.status, 400, "{answer}");
        })
        .await;
    stage
        .row("Rejects invalid device keys", async {
            let call =
                alice.post(&["keys", "upload"], &json!({ "device_keys": { "keys": "none" } }));
            let answer = call.answer().await;
            assert_eq!(answer.status, 400, "{answer}");
        })
        .await;
    stage
        .row("Can query device keys using POST", async {
            let found = query(&bob, &alice).await;
            assert_eq!(without_unsigned(found[&alice.device_id].clone()), keys);
        })
        .await;
    stage
        .row("Can query specific device keys using POST", async {
            for (device, there) in [(alice.device_id.as_str(), true), ("UNKNOWN", false)] {
                let body = json!({ "device_keys": { alice.user_id.as_str(): [device] } });
                let found = bob.post(&["keys", "query"], &body).ok().await;
                let of_alice = &found["device_keys"][&alice.user_id];
                assert_eq!(of_alice.get(device).is_some(), there, "{found}");
            }
        })
        .await;
    stage
        .row("query for user with no keys returns empty key dict", async {
            assert_eq!(query(&alice, &bob).await, json!({}));
        })
        .await;
    stage
        .row("Can claim one time key using POST", async {
            let key = claim(&bob, &alice).await;
            assert_eq!(key, one_time_keys(&["A"]));
            // It is used up: nobody gets it again.
            assert_eq!(claim(&bob, &alice).await, Value::Null);
        })
        .await;
}

async fn claim_ordering(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    give(&alice, json!({ "device_keys": device_keys(&alice) })).await;
    let names = ["zebra", "apple", "mango", "banana"];
    for name in names {
        give(&alice, json!({ "one_time_keys": one_time_keys(&[name]) })).await;
    }
    for name in names {
        let key = claim(&bob, &alice).await;
        assert_eq!(key[format!("signed_curve25519:{name}")]["key"], name, "{key}");
    }
}

async fn idempotency(stage: Stage, again: &'static [&'static str], count: u64) {
    let alice = stage.person().await;
    give(&alice, json!({ "one_time_keys": one_time_keys(&["A", "B"]) })).await;
    let counts = give(&alice, json!({ "one_time_keys": one_time_keys(again) })).await;
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], count, "{counts}");
    let other = json!({ "one_time_keys": { "signed_curve25519:A": one_time_key("another") } });
    let answer = alice.post(&["keys", "upload"], &other).answer().await;
    assert_eq!(answer.status, 400, "a key changes under its name: {answer}");
}

async fn query_of_an_object(stage: Stage) {
    let alice = stage.person().await;
    for wrong in [json!({ "device": "yes" }), json!("device"), json!([{}])] {
        let body = json!({ "device_keys": { alice.user_id.as_str(): wrong } });
        let answer = alice.post(&["keys", "query"], &body).answer().await;
        assert_eq!(answer.status, 400, "{answer}");
    }
}

async fn over_federation(stage: Stage) {
    let (alice, bob) = stage.partners().await;
    let keys = device_keys(&alice);
    give(&alice, json!({ "device_keys": keys, "one_time_keys": one_time_keys(&["A"]) })).await;
    stage
        .row("Can claim remote one time key using POST", async {
            let key = claim(&bob, &alice).await;
            assert_eq!(key, one_time_keys(&["A"]));
        })
        .await;
    stage
        .row("Can query remote device keys using POST", async {
            let found = query(&bob, &alice).await;
            assert_eq!(without_unsigned(found[&alice.device_id].clone()), keys);
        })
        .await;
}

async fn to_device(stage: Stage, remote: bool) {
    let (alice, bob) = if remote { stage.partners().await } else { stage.colleagues().await };
    let other = bob.log_in_again().await;
    let mut view = View::default();
    bob.sync(&mut view, false).await;
    let path = ["sendToDevice", "org.example.note", "first"];
    let content = json!({ "text": "for one device" });
    let to_one =
        json!({ "messages": { bob.user_id.as_str(): { bob.device_id.as_str(): content } } });
    for _ in 0..2 {
        alice.put(&path, &to_one).ok().await;
    }
    let path = ["sendToDevice", "org.example.note", "second"];
    let to_all = json!({ "messages": { bob.user_id.as_str(): { "*": { "text": "for all" } } } });
    alice.put(&path, &to_all).ok().await;
    let all = |view: &View| (view.to_device.len() >= 2).then(|| view.to_device.clone());
    let told = bob.until(&mut view, "both messages", all).await;
    let texts = told.iter().map(|message| text(message, "/content/text")).collect::<Vec<_>>();
    assert_eq!(texts, ["for one device", "for all"]);
    assert!(told.iter().all(|message| message["sender"] == alice.user_id), "{told:?}");
    let mut view = View::default();
    let some = |view: &View| (!view.to_device.is_empty()).then(|| view.to_device.clone());
    let told = other.until(&mut view, "the message for all", some).await;
    assert_eq!(told.len(), 1);
    // What was acknowledged by the next /sync is not told again.
    let since = view.since().expect("a token").to_owned();
    sync(&other, &[("since", &since)]).await;
    assert!(list(&sync(&other, &[]).await, "/to_device/events").is_empty());
}

/// Waits until a /sync after `since` names somebody whose devices changed.
async fn told_of_change(who: &Account, since: &str, of: &Account) {
    eventually(&format!("{} is told of {}'s devices", who.user_id, of.user_id), async || {
        let next = sync(who, &[("since", since), ("timeout", "1000")]).await;
        list(&next, "/device_lists/changed").contains(&json!(of.user_id)).then_some(())
    })
    .await;
}

async fn new_login(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    let since = text(&sync(&bob, &[]).await, "/next_batch");
    let phone = alice.log_in_again().await;
    give(&phone, json!({ "device_keys": device_keys(&phone) })).await;
    told_of_change(&bob, &since, &alice).await;
    let now = text(&sync(&bob, &[]).await, "/next_batch");
    let range = [("from", since.as_str()), ("to", now.as_str())];
    let changes = bob.get(&["keys", "changes"]).query(&range).ok().await;
    assert!(list(&changes, "/changed").contains(&json!(alice.user_id)), "{changes}");
}

async fn comes_from_afar(stage: Stage) {
    let (alice, bob) = stage.partners().await;
    let room = public_room(&alice).await;
    give(&bob, json!({ "device_keys": device_keys(&bob) })).await;
    let since = text(&sync(&alice, &[]).await, "/next_batch");
    let server = alice.user_id.split_once(':').expect("a server").1.to_owned();
    bob.join(&room, &[&server]).await;
    told_of_change(&alice, &since, &bob).await;
}

async fn update_over_federation(stage: Stage) {
    let (alice, bob) = stage.partners().await;
    let room = public_room(&alice).await;
    let server = alice.user_id.split_once(':').expect("a server").1.to_owned();
    bob.join(&room, &[&server]).await;
    becomes(&alice, &room, &bob, "join").await;
    give(&bob, json!({ "device_keys": device_keys(&bob) })).await;
    eventually("Alice knows Bob's device", async || {
        query(&alice, &bob).await.get(&bob.device_id).map(|_| ())
    })
    .await;
    let since = text(&sync(&alice, &[]).await, "/next_batch");
    let phone = bob.log_in_again().await;
    give(&phone, json!({ "device_keys": device_keys(&phone) })).await;
    told_of_change(&alice, &since, &bob).await;
    eventually("Alice knows Bob's phone", async || {
        query(&alice, &bob).await.get(&phone.device_id).map(|_| ())
    })
    .await;
}

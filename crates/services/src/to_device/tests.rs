use std::collections::BTreeMap;

use ruma::user_id;
use serde_json::{Value, json};
use store::to_device;

use super::{Messages, ToDeviceError};
use crate::{sessions::NewSession, testing::World};

fn to(user: &str, device: &str, content: Value) -> Messages {
    let devices = BTreeMap::from([(device.to_owned(), content)]);
    BTreeMap::from([(user.try_into().unwrap(), devices)])
}

impl World {
    fn waiting(&self, localpart: &str, device: &str) -> Vec<Value> {
        let rows = self.services.context.store.snapshot();
        let all = (0, u64::MAX - 1);
        let messages = to_device::pending(&rows, (localpart, device), all, 100).unwrap();
        messages.iter().map(|(_, json)| serde_json::from_slice(json).unwrap()).collect()
    }

    fn outbox(&self, server: &str) -> Vec<Value> {
        let rows = self.services.context.store.snapshot();
        let messages = to_device::outbox(&rows, server, 0, 100).unwrap();
        messages.iter().map(|(_, json)| serde_json::from_slice(json).unwrap()).collect()
    }

    async fn bobs_phone(&self) -> crate::sessions::Caller {
        let new = NewSession { device_id: Some("PHONE".into()), ..NewSession::default() };
        let session = self.services.sessions.open("bob", new).await.unwrap();
        self.services.sessions.authenticate(&session.access_token).await.unwrap()
    }
}

#[tokio::test]
async fn a_message_waits_until_its_device_has_received_it() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let phone = world.bobs_phone().await;
    let send = &world.services.to_device;
    let message = to("@bob:acme.example", "PHONE", json!({ "n": 1 }));
    send.send(&alice, "m.test", "t1", message.clone()).await.unwrap();
    let expected =
        json!({ "sender": "@alice:acme.example", "type": "m.test", "content": { "n": 1 } });
    assert_eq!(world.waiting("bob", "PHONE"), [expected]);
    assert!(world.waiting("bob", bob.device()).is_empty());

    let position = world.services.context.log.position();
    send.send(&alice, "m.test", "t2", message).await.unwrap();
    send.acknowledge(&phone, position).await.unwrap();
    assert_eq!(world.waiting("bob", "PHONE").len(), 1, "the second came later");
    send.acknowledge(&phone, world.services.context.log.position()).await.unwrap();
    assert!(world.waiting("bob", "PHONE").is_empty());
}

/// S51: the same transaction id of another device is another transaction.
#[tokio::test]
async fn a_repeated_transaction_sends_nothing() {
    let world = World::new();
    let alice = world.user("alice").await;
    let bob = world.user("bob").await;
    let phone = world.bobs_phone().await;
    let message = to("@alice:acme.example", "*", json!({}));
    for sender in [&bob, &bob, &phone, &bob] {
        let send = &world.services.to_device;
        send.send(sender, "m.test", "t1", message.clone()).await.unwrap();
    }
    assert_eq!(world.waiting("alice", alice.device()).len(), 2);
}

#[tokio::test]
async fn a_star_reaches_every_device_and_unknown_ones_are_passed_over() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    world.bobs_phone().await;
    let send = &world.services.to_device;
    let messages = to("@bob:acme.example", "*", json!({}));
    send.send(&alice, "m.test", "t1", messages).await.unwrap();
    for (user, device) in [("@bob:acme.example", "GONE"), ("@nobody:acme.example", "*")] {
        let transaction = format!("{user}{device}");
        send.send(&alice, "m.test", &transaction, to(user, device, json!({}))).await.unwrap();
    }
    assert_eq!(world.waiting("bob", "PHONE").len(), 1);
    assert_eq!(world.waiting("bob", bob.device()).len(), 1);
    assert!(world.waiting("bob", "GONE").is_empty());
}

#[tokio::test]
async fn messages_for_another_server_wait_in_parts_that_it_can_take() {
    let world = World::new();
    let alice = world.user("alice").await;
    let content = || json!({ "body": "x".repeat(30_000) });
    let devices = (0..5).map(|n| (format!("D{n}"), content())).collect();
    let messages = BTreeMap::from([(user_id!("@carol:b.example").to_owned(), devices)]);
    world.services.to_device.send(&alice, "m.test", "t1", messages).await.unwrap();
    let parts = world.outbox("b.example");
    assert_eq!(parts.len(), 3);
    let devices = parts
        .iter()
        .flat_map(|part| part["messages"]["@carol:b.example"].as_object().unwrap().keys().cloned());
    assert_eq!(devices.collect::<Vec<_>>(), ["D0", "D1", "D2", "D3", "D4"]);
    assert_eq!(parts[0]["sender"], "@alice:acme.example");
    assert_ne!(parts[0]["message_id"], parts[1]["message_id"]);
}

#[tokio::test]
async fn what_another_server_sends_twice_is_delivered_once() {
    let world = World::new();
    let alice = world.user("alice").await;
    let sender = user_id!("@carol:b.example");
    let receive = &world.services.to_device;
    for _ in 0..2 {
        let mut messages = to("@alice:acme.example", "*", json!({}));
        messages.extend(to("@dave:c.example", "*", json!({})));
        receive.receive(sender, "m.test", "m1", messages).await.unwrap();
    }
    assert_eq!(world.waiting("alice", alice.device()).len(), 1);
    assert!(world.outbox("c.example").is_empty(), "nothing is passed on");
}

/// S19.
#[tokio::test]
async fn a_message_is_not_too_large() {
    let world = World::new();
    let alice = world.user("alice").await;
    let messages = to("@alice:acme.example", "*", json!({ "body": "x".repeat(65_536) }));
    let sent = world.services.to_device.send(&alice, "m.test", "t1", messages).await;
    assert!(matches!(sent, Err(ToDeviceError::TooLarge)));
}

#[tokio::test]
async fn what_waits_for_a_device_goes_with_it() {
    let world = World::new();
    let alice = world.user("alice").await;
    world.user("bob").await;
    let phone = world.bobs_phone().await;
    let messages = to("@bob:acme.example", "PHONE", json!({}));
    world.services.to_device.send(&alice, "m.test", "t1", messages).await.unwrap();
    world.services.sessions.close(&phone).await.unwrap();
    world.bobs_phone().await;
    assert!(world.waiting("bob", "PHONE").is_empty());
}

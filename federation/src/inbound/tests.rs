//! Companies that talk: rooms over several homeservers, and servers that lie.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, routing::get};
use http::StatusCode;
use model::{
    build::{self, EventTemplate, Place},
    pdu::Pdu,
    room_version::RoomVersion,
    signing_key::SigningKey,
};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::federation::{
        authorization::get_event_authorization,
        backfill::get_backfill,
        event::{get_event, get_missing_events, get_room_state, get_room_state_ids},
        membership::{create_invite, create_join_event, prepare_join_event},
        query::{get_profile_information, get_room_information},
        transactions::send_transaction_message,
    },
    events::room::member::MembershipState,
};
use serde_json::{Map, Value, json, value::to_raw_value};
use services::{
    accounts::NewAccount,
    rooms::{
        create::{NewRoom, Preset},
        join::{JoinError, Joining},
        membership::NewMembership,
        remote::RemoteError,
        send::NewEvent,
    },
    sessions::{Caller, NewSession},
};
use store::events::Order;
use tokio::task::JoinHandle;

use crate::{
    Federation,
    client::RequestError,
    worlds::{World, server},
};

mod access;
mod gaps;
mod intake;
mod membership;
mod transactions;
mod views;

const TIME: Duration = Duration::from_secs(20);

/// A homeserver at work.
struct Company {
    home: Federation,
    at_work: JoinHandle<()>,
}

impl Drop for Company {
    fn drop(&mut self) {
        self.at_work.abort();
    }
}

impl Company {
    async fn open(world: &mut World, name: &str) -> Self {
        let home = world.home(name).await;
        let working = home.clone();
        Self { home, at_work: tokio::spawn(async move { working.run().await }) }
    }

    fn user(&self, localpart: &str) -> OwnedUserId {
        self.home.context().user_id(localpart)
    }

    async fn register(&self, localpart: &str) -> OwnedUserId {
        let new = NewAccount { username: Some(localpart.to_owned()), ..NewAccount::default() };
        self.home.services.accounts.register(new).await.unwrap().user_id
    }

    async fn log_in(&self, localpart: &str) -> Caller {
        let new = NewAccount {
            username: Some(localpart.to_owned()),
            session: Some(NewSession::default()),
            ..NewAccount::default()
        };
        let services = &self.home.services;
        let session = services.accounts.register(new).await.unwrap().session.unwrap();
        services.sessions.authenticate(&session.access_token).await.unwrap()
    }

    async fn create(&self, version: RoomVersion, preset: Preset, also: Value) -> OwnedRoomId {
        let initial_state =
            also.as_array().unwrap().iter().map(|state| {
                (state[0].as_str().unwrap().to_owned(), String::new(), state[1].clone())
            });
        let new = NewRoom {
            initial_state: initial_state.collect(),
            ..NewRoom::new(self.user("alice"), version, preset)
        };
        self.home.services.rooms.create(new).await.unwrap()
    }

    async fn join(&self, localpart: &str, room: &RoomId, via: &str) -> Result<(), String> {
        let joining = self.entering(localpart, room, via);
        self.home.services.rooms.join(joining).await.map_err(|error| error.to_string())
    }

    fn entering(&self, localpart: &str, room: &RoomId, via: &str) -> Joining {
        Joining {
            user: self.user(localpart),
            room_id: room.to_owned(),
            via: vec![server(via)],
            content: Map::new(),
        }
    }

    async fn say(&self, localpart: &str, room: &RoomId, body: &str) -> OwnedEventId {
        self.send(localpart, room, "m.room.message", None, json!({ "body": body })).await
    }

    async fn send(
        &self,
        localpart: &str,
        room: &RoomId,
        event_type: &str,
        state_key: Option<&str>,
        content: Value,
    ) -> OwnedEventId {
        let new = NewEvent {
            sender: self.user(localpart),
            event_type: event_type.to_owned(),
            state_key: state_key.map(str::to_owned),
            content: to_raw_value(&content).unwrap(),
            redacts: None,
            timestamp_ms: None,
            transaction: None,
        };
        self.home.services.rooms.send(room, new).await.unwrap()
    }

    /// The events that this homeserver shows of the room.
    async fn timeline(&self, room: &RoomId) -> Vec<Arc<Pdu>> {
        let room = self.home.services.rooms.get(room).await.unwrap();
        let events = self.home.services.rooms.read(room.number, |rows| {
            let all = (Order::MIN, Order::MAX);
            let page = store::events::timeline(rows.snapshot, rows.room, all, false, 1_000)?;
            let numbers: Vec<_> = page.into_iter().map(|(_, number)| number).collect();
            rows.events(&numbers)
        });
        events.await.unwrap().into_iter().map(|event| event.pdu).collect()
    }

    async fn bodies(&self, room: &RoomId) -> Vec<String> {
        let timeline = self.timeline(room).await;
        let messages = timeline.iter().filter(|event| &*event.event_type == "m.room.message");
        let body = |event: &Arc<Pdu>| event.content_as::<Value>().unwrap()["body"].clone();
        messages.map(|event| body(event).as_str().unwrap_or("(redacted)").to_owned()).collect()
    }

    /// Waits until the messages of the room are these.
    async fn sees(&self, room: &RoomId, expected: &[&str]) {
        let waiting = async {
            while self.bodies(room).await != expected {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(TIME, waiting).await.is_err() {
            assert_eq!(self.bodies(room).await, expected);
        }
    }

    async fn membership(&self, room: &RoomId, user: &UserId) -> MembershipState {
        let room = self.home.services.rooms.get(room).await.unwrap();
        let user = user.to_owned();
        let membership = self.home.services.rooms.read(room.number, move |rows| {
            let head = store::rooms::head(rows.snapshot, rows.room)?.unwrap();
            rows.state(head.state).membership(&user)
        });
        membership.await.unwrap()
    }

    /// Waits until everything that was sent here was judged.
    async fn settles(&self) {
        crate::worlds::eventually(|| self.home.intake.is_idle()).await;
    }

    /// Pushes raw events, as if the sender had chosen them; answers the results by event.
    async fn push(&self, to: &str, pdus: Vec<Value>) -> Value {
        let id = format!("t{}", self.home.context().ids.number());
        let now = super::events::now(&self.home);
        let origin = self.home.context().server_name.clone();
        let request = send_transaction_message::v1::Request {
            pdus: pdus.iter().map(|pdu| to_raw_value(pdu).unwrap()).collect(),
            ..send_transaction_message::v1::Request::new(id.into(), origin, now)
        };
        let answer = self.home.client.insist(&server(to), request, TIME).await.unwrap();
        let results = answer.pdus.into_iter();
        results.map(|(id, result)| (id.to_string(), json!(result.is_ok()))).collect()
    }
}

/// `alice:a.example` and `bob:b.example` in a public room.
async fn pair(world: &mut World, version: RoomVersion) -> (Company, Company, OwnedRoomId) {
    let a = Company::open(world, "a.example").await;
    let b = Company::open(world, "b.example").await;
    let room = a.create(version, Preset::PublicChat, json!([])).await;
    b.join("bob", &room, "a.example").await.unwrap();
    (a, b, room)
}

fn status(error: &RequestError) -> u16 {
    error.status().unwrap_or_else(|| panic!("no answer: {error:?}")).as_u16()
}

#[tokio::test]
async fn companies_talk_in_every_room_version() {
    for version in RoomVersion::ALL {
        let mut world = World::new();
        let (a, b, room) = pair(&mut world, version).await;
        a.say("alice", &room, "hello").await;
        b.sees(&room, &["hello"]).await;
        b.say("bob", &room, "good day").await;
        a.sees(&room, &["hello", "good day"]).await;
        assert_eq!(a.membership(&room, &b.user("bob")).await, MembershipState::Join);
    }
}

#[tokio::test]
async fn a_third_company_hears_of_a_join_through_another() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    let c = Company::open(&mut world, "c.example").await;
    c.join("carol", &room, "b.example").await.unwrap();
    c.say("carol", &room, "hello").await;
    a.sees(&room, &["hello"]).await;
    b.sees(&room, &["hello"]).await;
    a.say("alice", &room, "welcome").await;
    c.sees(&room, &["hello", "welcome"]).await;
}

#[tokio::test]
async fn who_types_and_how_far_everybody_has_read_is_told() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    let event = a.say("alice", &room, "hello").await;
    b.sees(&room, &["hello"]).await;
    let bob = b.user("bob");
    b.home.services.typing.set(&bob, &room, Some(30_000)).await.unwrap();
    let at_a = a.home.services.rooms.get(&room).await.unwrap().number;
    let typing = || a.home.services.typing.in_room(at_a).0;
    crate::worlds::eventually(|| typing() == [bob.clone()]).await;
    b.home.services.typing.set(&bob, &room, None).await.unwrap();
    crate::worlds::eventually(|| typing().is_empty()).await;
    let read = (store::receipts::Kind::Public, store::receipts::Thread::Unthreaded);
    b.home.services.receipts.set(&bob, &room, read, &event).await.unwrap();
    let store = &a.home.context().store;
    let receipts = || store::receipts::of_user(&store.snapshot(), at_a, &bob).unwrap();
    crate::worlds::eventually(|| !receipts().is_empty()).await;
    assert_eq!(receipts()[0].event_id, event);
    // Nobody speaks for the users of another server.
    let carol = UserId::parse("@alice:a.example").unwrap();
    let edu = json!({ "edu_type": "m.typing", "content": {
        "room_id": room, "user_id": carol, "typing": true,
    } });
    let server = [server("a.example")];
    let edu = to_raw_value(&edu).unwrap();
    b.home.sender.destinations().enqueue_edu(&server, &edu).await.unwrap();
    b.say("bob", &room, "after it").await;
    a.sees(&room, &["hello", "after it"]).await;
    assert!(typing().is_empty());
}

#[tokio::test]
async fn devices_of_different_companies_find_and_write_to_each_other() {
    let mut world = World::new();
    let (a, b, _room) = pair(&mut world, RoomVersion::V12).await;
    let (alice, bob) = (a.log_in("alice").await, b.log_in("bob").await);
    let bobs = bob.user_id.clone();
    let at_a = |user: &OwnedUserId| {
        let store = &a.home.context().store;
        store::device_keys::changed_at(&store.snapshot(), user.as_str()).unwrap()
    };
    // Bob's device publishes its keys: that is told, and Alice finds and claims them.
    let keys = json!({
        "user_id": bobs, "device_id": bob.device(), "algorithms": ["m.megolm.v1.aes-sha2"],
        "keys": { format!("ed25519:{}", bob.device()): "QUJD" },
        "signatures": { bobs.as_str(): { format!("ed25519:{}", bob.device()): "QUJD" } },
    });
    let upload = services::keys::KeyUpload {
        device_keys: keys.as_object().cloned(),
        one_time_keys: json!({ "signed_curve25519:A": {
            "key": "QUJD", "signatures": { bobs.as_str(): { "ed25519:X": "QUJD" } },
        } })
        .as_object()
        .cloned()
        .unwrap(),
        ..Default::default()
    };
    b.home.services.keys.upload(&bob, upload).await.unwrap();
    crate::worlds::eventually(|| at_a(&bobs).is_some()).await;
    let wanted = std::collections::BTreeMap::from([(bobs.clone(), Vec::new())]);
    let found = a.home.services.keys.query(&alice, wanted).await.unwrap();
    assert_eq!(found.failures.len(), 0);
    assert_eq!(found.device_keys[bobs.as_str()][bob.device()]["keys"], keys["keys"]);
    let devices = ruma::api::federation::device::get_devices::v1::Request::new(bobs.clone());
    let devices = a.home.client.insist(&server("b.example"), devices, TIME).await.unwrap();
    assert_eq!(devices.devices.len(), 1);
    let claims = |device: &str| {
        let algorithm = (device.to_owned(), "signed_curve25519".to_owned());
        std::collections::BTreeMap::from([(bobs.clone(), [algorithm].into_iter().collect())])
    };
    let claimed = a.home.services.keys.claim(claims(bob.device())).await.unwrap();
    let of_device = &claimed.one_time_keys[bobs.as_str()][bob.device()];
    assert!(of_device["signed_curve25519:A"].is_object(), "{of_device}");
    // A message for Bob's device arrives once, also after Bob's company was away.
    world.transport.close(&server("b.example"));
    let message = [(bob.device().to_owned(), json!({ "secret": 1 }))].into_iter().collect();
    let messages = std::collections::BTreeMap::from([(bobs.clone(), message)]);
    let to_device = &a.home.services.to_device;
    to_device.send(&alice, "m.room.encrypted", "t1", messages).await.unwrap();
    let name = server("b.example");
    crate::worlds::eventually(|| a.home.contacts.is_failing(&name)).await;
    world.connect(&b.home);
    world.clock.advance(Duration::from_secs(10));
    a.home.sender.tick();
    let device = (bob.localpart().to_owned(), bob.device().to_owned());
    let waiting = || {
        let snapshot = b.home.context().store.snapshot();
        let queue = (&*device.0, &*device.1);
        store::to_device::pending(&snapshot, queue, (0, u64::MAX - 1), 10).unwrap()
    };
    crate::worlds::eventually(|| !waiting().is_empty()).await;
    let received: Value = serde_json::from_slice(&waiting()[0].1).unwrap();
    assert_eq!(received["sender"], alice.user_id.as_str());
    assert_eq!(received["content"], json!({ "secret": 1 }));
    crate::worlds::eventually(|| !a.home.contacts.is_failing(&name)).await;
    assert_eq!(waiting().len(), 1);
}

#[tokio::test]
async fn whoever_was_away_catches_up() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V11).await;
    world.transport.close(&server("b.example"));
    for nth in 0..30 {
        a.say("alice", &room, &nth.to_string()).await;
    }
    let name = server("b.example");
    crate::worlds::eventually(|| a.home.contacts.is_failing(&name)).await;
    b.say("bob", &room, "from the other side").await;
    world.connect(&b.home);
    world.clock.advance(Duration::from_secs(10));
    a.home.sender.tick();
    crate::worlds::eventually(|| !a.home.contacts.is_failing(&name)).await;
    a.say("alice", &room, "last").await;
    let waiting = async {
        while b.bodies(&room).await.len() < 32 || a.bodies(&room).await.len() < 32 {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(TIME, waiting).await;
    assert!(in_time.is_ok(), "{:?} {:?}", a.bodies(&room).await, b.bodies(&room).await);
}

#[tokio::test]
async fn questions_about_users_and_aliases_are_answered() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let alice = a.register("alice").await;
    let room = a.create(RoomVersion::V12, Preset::PublicChat, json!([])).await;
    let alias = ruma::RoomAliasId::parse("#desk:a.example").unwrap();
    a.home.services.rooms.add_alias(alias.clone(), &room, &alice).await.unwrap();
    let (to, client) = (server("a.example"), &b.home.client);
    let profile = get_profile_information::v1::Request::new(alice);
    assert!(client.insist(&to, profile, TIME).await.is_ok());
    let nobody = get_profile_information::v1::Request::new(a.user("nobody"));
    assert_eq!(status(&client.insist(&to, nobody, TIME).await.unwrap_err()), 404);
    let request = get_room_information::v1::Request::new(alias.clone());
    let found = client.insist(&to, request, TIME).await.unwrap();
    assert_eq!((found.room_id, found.servers), (room.clone(), vec![server("a.example")]));
    let through = b.home.services.rooms.resolve_alias(&alias).await.unwrap();
    assert_eq!(through.unwrap().0, room);
    let none = ruma::RoomAliasId::parse("#none:a.example").unwrap();
    assert!(b.home.services.rooms.resolve_alias(&none).await.unwrap().is_none());
}

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
        join::Joining,
        membership::NewMembership,
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

mod gaps;
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
            creator: self.user("alice"),
            version,
            preset,
            creation_content: Map::new(),
            creator_profile: Map::new(),
            initial_state: initial_state.collect(),
            name: None,
            topic: None,
            power_levels: Map::new(),
            alias: None,
            published: false,
            trusted: Vec::new(),
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
async fn an_invitation_reaches_another_company_and_lets_in() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let bob = b.register("bob").await;
    let room = a.create(RoomVersion::V12, Preset::PrivateChat, json!([])).await;
    assert!(b.join("bob", &room, "a.example").await.is_err());
    let invite = |target: OwnedUserId| NewMembership {
        sender: a.user("alice"),
        target,
        membership: MembershipState::Invite,
        content: Map::new(),
    };
    let nobody = b.user("nobody");
    assert!(a.home.services.rooms.invite(&room, invite(nobody)).await.is_err());
    a.home.services.rooms.invite(&room, invite(bob.clone())).await.unwrap();
    b.join("bob", &room, "a.example").await.unwrap();
    b.say("bob", &room, "thank you").await;
    a.sees(&room, &["thank you"]).await;
    b.home.services.rooms.leave(b.entering("bob", &room, "a.example")).await.unwrap();
    let waiting = async {
        while a.membership(&room, &bob).await != MembershipState::Leave {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIME, waiting).await.unwrap();
}

#[tokio::test]
async fn an_invitation_can_be_declined_and_a_knock_withdrawn() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let bob = b.register("bob").await;
    let rules = json!([["m.room.join_rules", { "join_rule": "knock" }]]);
    let room = a.create(RoomVersion::V11, Preset::PrivateChat, rules).await;
    b.home.services.rooms.knock(b.entering("bob", &room, "a.example")).await.unwrap();
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Knock);
    b.home.services.rooms.leave(b.entering("bob", &room, "a.example")).await.unwrap();
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Leave);
    let new = NewMembership {
        sender: a.user("alice"),
        target: bob.clone(),
        membership: MembershipState::Invite,
        content: Map::new(),
    };
    a.home.services.rooms.invite(&room, new).await.unwrap();
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Invite);
    b.home.services.rooms.leave(b.entering("bob", &room, "a.example")).await.unwrap();
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Leave);
}

#[tokio::test]
async fn an_invitation_can_be_taken_back_but_only_by_those_in_the_room() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let c = Company::open(&mut world, "c.example").await;
    let bob = b.register("bob").await;
    let room = a.create(RoomVersion::V11, Preset::PrivateChat, json!([])).await;
    let new = |membership: MembershipState| NewMembership {
        sender: a.user("alice"),
        target: bob.clone(),
        membership,
        content: Map::new(),
    };
    a.home.services.rooms.invite(&room, new(MembershipState::Invite)).await.unwrap();
    let at_b = b.home.services.rooms.get(&room).await.unwrap();
    let kind = async || {
        let membership = b.home.services.rooms.membership(&at_b, &bob).await.unwrap();
        membership.unwrap().kind
    };
    assert_eq!(kind().await, store::memberships::Kind::Invite);
    // Somebody who has nothing to do with the room.
    let (key, name) = (&c.home.context().signing_key.current(), &c.home.context().server_name);
    let forged = EventTemplate {
        sender: c.user("mallory"),
        ..join_event(&room, &bob, json!({ "membership": "leave" }))
    };
    let place = Company::join_place(&room, &a, None).await;
    let forged = build::build_and_sign(&forged, &place, RoomVersion::V11, name, key).unwrap();
    c.push("b.example", vec![serde_json::from_slice(forged.json()).unwrap()]).await;
    assert_eq!(kind().await, store::memberships::Kind::Invite);
    a.home.services.rooms.kick(&room, new(MembershipState::Leave)).await.unwrap();
    let waiting = async {
        while kind().await != store::memberships::Kind::Leave {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIME, waiting).await.unwrap();
}

#[tokio::test]
async fn a_restricted_room_lets_in_members_of_the_other_room_only() {
    let mut world = World::new();
    let (a, b, lobby) = pair(&mut world, RoomVersion::V11).await;
    let rules = json!([["m.room.join_rules", {
        "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": lobby }],
    }]]);
    let room = a.create(RoomVersion::V11, Preset::PrivateChat, rules).await;
    b.join("bob", &room, "a.example").await.unwrap();
    b.say("bob", &room, "in").await;
    a.sees(&room, &["in"]).await;
    let c = Company::open(&mut world, "c.example").await;
    assert!(c.join("carol", &room, "a.example").await.is_err());
    // Nor does it help to write the join oneself and name one who vouches.
    let place = Company::join_place(&room, &a, Some(&a.user("alice"))).await;
    let (key, name) = (&c.home.context().signing_key.current(), &c.home.context().server_name);
    let content = json!({
        "membership": "join", "join_authorised_via_users_server": a.user("alice"),
    });
    let event = join_event(&room, &c.user("carol"), content);
    let event = build::build_and_sign(&event, &place, RoomVersion::V11, name, key).unwrap();
    let sent = c.send_join(&room, &event.event_id, &event.to_wire(), "a.example").await;
    assert_eq!(status(&sent.unwrap_err()), 403);
}

fn join_event(room: &RoomId, user: &UserId, content: Value) -> EventTemplate {
    EventTemplate {
        room_id: Some(room.to_owned()),
        sender: user.to_owned(),
        event_type: "m.room.member".to_owned(),
        state_key: Some(user.to_string()),
        content: to_raw_value(&content).unwrap(),
        redacts: None,
        origin_server_ts: 1_767_225_600_000,
    }
}

impl Company {
    /// The place that a join would have now.
    async fn join_place(room: &RoomId, resident: &Company, vouching: Option<&UserId>) -> Place {
        let timeline = resident.timeline(room).await;
        let last = timeline.last().unwrap();
        let auth = timeline.iter().filter(|event| {
            let named = ["m.room.power_levels", "m.room.join_rules", "m.room.create"];
            let wanted = named.contains(&&*event.event_type)
                || vouching.is_some_and(|user| event.is_at("m.room.member", user.as_str()));
            let implied =
                event.room_version >= RoomVersion::V12 && &*event.event_type == "m.room.create";
            wanted && !implied
        });
        Place {
            prev_events: vec![last.event_id.clone()],
            auth_events: auth.map(|event| event.event_id.clone()).collect(),
            depth: last.depth + 1,
        }
    }

    async fn send_join(
        &self,
        room: &RoomId,
        event_id: &EventId,
        pdu: &serde_json::value::RawValue,
        to: &str,
    ) -> Result<create_join_event::v2::Response, RequestError> {
        let request = create_join_event::v2::Request::new(
            room.to_owned(),
            event_id.to_owned(),
            pdu.to_owned(),
        );
        self.home.client.insist(&server(to), request, TIME).await
    }
}

#[tokio::test]
async fn only_a_join_of_ones_own_user_can_be_sent_as_a_join() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let room = a.create(RoomVersion::V11, Preset::PublicChat, json!([])).await;
    let other = a.create(RoomVersion::V11, Preset::PublicChat, json!([])).await;
    let place = Company::join_place(&room, &a, None).await;
    let bob = b.user("bob");
    let (key, name) = (&b.home.context().signing_key.current(), &b.home.context().server_name);
    let sign = |event: &EventTemplate| {
        build::build_and_sign(event, &place, RoomVersion::V11, name, key).unwrap()
    };
    let good = join_event(&room, &bob, json!({ "membership": "join" }));
    let mut wrong = Vec::new();
    for membership in ["leave", "invite", "knock", "ban"] {
        wrong.push(join_event(&room, &bob, json!({ "membership": membership })));
    }
    wrong.push(join_event(&other, &bob, json!({ "membership": "join" })));
    wrong.push(join_event(&room, &a.user("mallory"), json!({ "membership": "join" })));
    wrong.push(EventTemplate { state_key: Some(a.user("alice").to_string()), ..good.clone() });
    wrong.push(EventTemplate { state_key: None, ..good.clone() });
    wrong.push(EventTemplate { event_type: "m.room.power_levels".to_owned(), ..good.clone() });
    for event in wrong {
        let event = sign(&event);
        let sent = b.send_join(&room, &event.event_id, &event.to_wire(), "a.example").await;
        let error = sent.unwrap_err();
        assert!(matches!(status(&error), 400 | 403), "{event:?}: {error:?}");
    }
    // Right, but under another event's id; or changed after it was signed.
    let event = sign(&good);
    let another: OwnedEventId = a.say("alice", &room, "x").await;
    let sent = b.send_join(&room, &another, &event.to_wire(), "a.example").await;
    assert_eq!(status(&sent.unwrap_err()), 400);
    let mut changed: Value = serde_json::from_slice(event.json()).unwrap();
    changed["content"]["displayname"] = json!("Bob");
    let changed = to_raw_value(&changed).unwrap();
    let sent = b.send_join(&room, &event.event_id, &changed, "a.example").await;
    assert!(matches!(status(&sent.unwrap_err()), 400 | 403));
    let unsigned = SigningKey::from_seed([99; 32], "1").unwrap();
    let forged = build::build_and_sign(&good, &place, RoomVersion::V11, name, &unsigned).unwrap();
    let sent = b.send_join(&room, &forged.event_id, &forged.to_wire(), "a.example").await;
    assert_eq!(status(&sent.unwrap_err()), 403);
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Leave);
    b.send_join(&room, &event.event_id, &event.to_wire(), "a.example").await.unwrap();
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Join);
}

#[tokio::test]
async fn a_template_for_a_stranger_or_an_unknown_version_is_not_given() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let room = a.create(RoomVersion::V12, Preset::PublicChat, json!([])).await;
    let ask = async |user: OwnedUserId, ver: Vec<ruma::RoomVersionId>, room: &RoomId| {
        let request = prepare_join_event::v1::Request {
            ver,
            ..prepare_join_event::v1::Request::new(room.to_owned(), user)
        };
        b.home.client.insist(&server("a.example"), request, TIME).await
    };
    let good = vec![ruma::RoomVersionId::V12];
    assert!(ask(b.user("bob"), good.clone(), &room).await.is_ok());
    let stranger = ask(a.user("alice"), good.clone(), &room).await.unwrap_err();
    assert_eq!(status(&stranger), 403);
    let old = ask(b.user("bob"), vec![ruma::RoomVersionId::V10], &room).await.unwrap_err();
    assert_eq!(status(&old), 400);
    assert_eq!(old.kind().unwrap().errcode().as_str(), "M_INCOMPATIBLE_ROOM_VERSION");
    let unknown = RoomId::parse("!unknown:a.example").unwrap();
    let unknown = ask(b.user("bob"), good, &unknown).await.unwrap_err();
    assert_eq!(status(&unknown), 404);
}

/// Security: a server signed what a remote had worded (fake leaves, power levels).
#[tokio::test]
async fn nothing_that_a_template_words_is_ever_signed() {
    let mut world = World::new();
    let b = Company::open(&mut world, "b.example").await;
    let bob = b.user("bob");
    let room = RoomId::parse("!room:evil.example").unwrap();
    let evil = json!({
        "room_version": "11",
        "event": {
            "type": "m.room.power_levels", "room_id": "!other:a.example",
            "sender": "@admin:b.example", "state_key": "",
            "content": { "membership": "leave", "users": { "@evil:evil.example": 100 } },
            "prev_events": ["$prev"], "auth_events": ["$auth"], "depth": 7,
            "origin_server_ts": 1, "extra": true, "hashes": {}, "signatures": {},
        },
    });
    let caught: Arc<std::sync::Mutex<Vec<Value>>> = Arc::default();
    let catching = Arc::clone(&caught);
    let make = get(async move || Json(evil));
    let send = axum::routing::put(async move |Json(event): Json<Value>| {
        catching.lock().unwrap().push(event);
        StatusCode::FORBIDDEN
    });
    let router = Router::new()
        .route("/_matrix/federation/v1/make_join/{room}/{user}", make)
        .route("/_matrix/federation/v2/send_join/{room}/{event}", send);
    world.transport.open(server("evil.example"), router);
    assert!(b.join("bob", &room, "evil.example").await.is_err());
    let caught = caught.lock().unwrap().clone();
    let [event] = &caught[..] else { panic!("{caught:?}") };
    assert_eq!(event["type"], "m.room.member");
    assert_eq!(event["room_id"], room.as_str());
    assert_eq!(event["sender"], bob.as_str());
    assert_eq!(event["state_key"], bob.as_str());
    assert_eq!(event["content"], json!({ "membership": "join" }));
    assert_eq!(event["extra"], Value::Null);
}

#[tokio::test]
async fn only_an_invitation_by_ones_own_user_is_signed() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let bob = b.register("bob").await;
    let room = a.create(RoomVersion::V11, Preset::PrivateChat, json!([])).await;
    let place = Company::join_place(&room, &a, None).await;
    let (key, name) = (&a.home.context().signing_key.current(), &a.home.context().server_name);
    let good = EventTemplate {
        sender: a.user("alice"),
        ..join_event(&room, &bob, json!({ "membership": "invite" }))
    };
    let invite = async |event: &EventTemplate, room: &RoomId| {
        let event = build::build_and_sign(event, &place, RoomVersion::V11, name, key).unwrap();
        let request = create_invite::v2::Request::new(
            room.to_owned(),
            event.event_id.clone(),
            ruma::RoomVersionId::V11,
            event.to_wire(),
            Vec::new(),
        );
        a.home.client.insist(&server("b.example"), request, TIME).await
    };
    let content = |content: Value| to_raw_value(&content).unwrap();
    let join = content(json!({ "membership": "join" }));
    for event in [
        EventTemplate { content: join, ..good.clone() },
        EventTemplate { event_type: "m.room.power_levels".to_owned(), ..good.clone() },
        EventTemplate { state_key: Some(a.user("alice").to_string()), ..good.clone() },
        EventTemplate { state_key: Some(b.user("nobody").to_string()), ..good.clone() },
        EventTemplate { state_key: None, ..good.clone() },
        EventTemplate { sender: b.user("bob"), ..good.clone() },
    ] {
        let error = invite(&event, &room).await.unwrap_err();
        assert!(matches!(status(&error), 400 | 403 | 404), "{event:?}: {error:?}");
    }
    let other = RoomId::parse("!other:a.example").unwrap();
    assert_eq!(status(&invite(&good, &other).await.unwrap_err()), 400);
    assert!(invite(&good, &room).await.is_ok());
}

#[tokio::test]
async fn what_is_in_one_room_is_not_for_those_in_another() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V11).await;
    let secret = a.create(RoomVersion::V11, Preset::PrivateChat, json!([])).await;
    let event = a.say("alice", &secret, "secret").await;
    let to = server("a.example");
    let client = &b.home.client;
    let ask_event = client.insist(&to, get_event::v1::Request::new(event.clone()), TIME).await;
    assert_eq!(status(&ask_event.unwrap_err()), 404);
    for (room, expected) in [(&room, 404), (&secret, 403)] {
        let request = get_room_state::v1::Request::new(event.clone(), room.clone());
        assert_eq!(status(&client.insist(&to, request, TIME).await.unwrap_err()), expected);
        let request = get_room_state_ids::v1::Request::new(event.clone(), room.clone());
        assert_eq!(status(&client.insist(&to, request, TIME).await.unwrap_err()), expected);
        let request = get_event_authorization::v1::Request::new(room.clone(), event.clone());
        assert_eq!(status(&client.insist(&to, request, TIME).await.unwrap_err()), expected);
    }
    let ten = js_int::UInt::from(10_u32);
    let request = get_backfill::v1::Request::new(room.clone(), vec![event.clone()], ten);
    assert!(client.insist(&to, request, TIME).await.unwrap().pdus.is_empty());
    let request = get_missing_events::v1::Request::new(room, vec![], vec![event.clone()]);
    assert!(client.insist(&to, request, TIME).await.unwrap().events.is_empty());
    let request = get_backfill::v1::Request::new(secret, vec![event], ten);
    assert_eq!(status(&client.insist(&to, request, TIME).await.unwrap_err()), 403);
}

#[tokio::test]
async fn history_from_before_a_server_came_is_shown_as_the_room_wants() {
    for (visibility, visible) in [("shared", true), ("joined", false)] {
        let mut world = World::new();
        let a = Company::open(&mut world, "a.example").await;
        let b = Company::open(&mut world, "b.example").await;
        let state = json!([["m.room.history_visibility", { "history_visibility": visibility }]]);
        let room = a.create(RoomVersion::V11, Preset::PublicChat, state).await;
        let before = a.say("alice", &room, "before").await;
        b.join("bob", &room, "a.example").await.unwrap();
        let after = a.say("alice", &room, "after").await;
        let (to, client) = (server("a.example"), &b.home.client);
        let ask = async |event: &OwnedEventId| {
            client.insist(&to, get_event::v1::Request::new(event.clone()), TIME).await.is_ok()
        };
        assert!(ask(&after).await);
        assert_eq!(ask(&before).await, visible, "{visibility}");
        let ten = js_int::UInt::from(20_u32);
        let request = get_backfill::v1::Request::new(room, vec![after], ten);
        let answer = client.insist(&to, request, TIME).await.unwrap();
        let bodies: Vec<Value> = answer
            .pdus
            .iter()
            .map(|pdu| serde_json::from_str::<Value>(pdu.get()).unwrap()["content"]["body"].clone())
            .collect();
        assert!(bodies.contains(&json!("after")));
        assert_eq!(bodies.contains(&json!("before")), visible, "{visibility}");
    }
}

#[tokio::test]
async fn a_server_that_the_room_denies_takes_no_part() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V11).await;
    let acl = json!({ "allow": ["*"], "deny": ["B.Example"] });
    a.send("alice", &room, "m.room.server_acl", Some(""), acl).await;
    let denied = b.say("bob", &room, "denied").await;
    let pdus = b.timeline(&room).await;
    let pdu = pdus.iter().find(|pdu| pdu.event_id == denied).unwrap();
    let json: Value = serde_json::from_slice(pdu.json()).unwrap();
    let results = b.push("a.example", vec![json]).await;
    assert_eq!(results, json!({ denied.to_string(): false }));
    let (to, client) = (server("a.example"), &b.home.client);
    let ten = js_int::UInt::from(10_u32);
    let request = get_backfill::v1::Request::new(room.clone(), vec![denied], ten);
    assert_eq!(status(&client.insist(&to, request, TIME).await.unwrap_err()), 403);
    let request = prepare_join_event::v1::Request::new(room.clone(), b.user("bob2"));
    assert_eq!(status(&client.insist(&to, request, TIME).await.unwrap_err()), 403);
    a.settles().await;
    assert!(a.bodies(&room).await.is_empty());
}

#[tokio::test]
async fn what_is_pushed_is_judged_event_by_event() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V11).await;
    let c = Company::open(&mut world, "c.example").await;
    c.join("carol", &room, "a.example").await.unwrap();
    let last = c.say("carol", &room, "carol's").await;
    b.sees(&room, &["carol's"]).await;
    a.sees(&room, &["carol's"]).await;
    let timeline = b.timeline(&room).await;
    let carols = timeline.iter().find(|pdu| pdu.event_id == last).unwrap();
    // Somebody else's event with one byte changed has another id, and no signature that holds.
    let mut forged: Value = serde_json::from_slice(carols.json()).unwrap();
    forged["depth"] = json!(1_000);
    let unsigned_room = json!({ "room_id": "!unknown:x.example", "type": "x" });
    let shapeless = json!({ "room_id": room, "type": 1 });
    // The world's clock stands still: without a difference two events would be the same.
    let good = b.say("bob", &room, "good").await;
    let timeline = b.timeline(&room).await;
    let good = timeline.iter().find(|pdu| pdu.event_id == good).unwrap();
    let good: Value = serde_json::from_slice(good.json()).unwrap();
    b.push("a.example", vec![forged, unsigned_room, shapeless, good]).await;
    a.sees(&room, &["carol's", "good"]).await;
    a.settles().await;
    assert_eq!(a.bodies(&room).await, ["carol's", "good"]);
}

#[tokio::test]
async fn a_transaction_counts_once() {
    let mut world = World::new();
    let (_a, b, _room) = pair(&mut world, RoomVersion::V11).await;
    let now = super::events::now(&b.home);
    let (to, client) = (server("a.example"), &b.home.client);
    let request = |origin: &str| {
        send_transaction_message::v1::Request::new("same".into(), server(origin), now)
    };
    let first = client.insist(&to, request("b.example"), TIME).await.unwrap();
    let again = client.insist(&to, request("b.example"), TIME).await.unwrap();
    assert_eq!(first.pdus.len(), again.pdus.len());
    let lying = client.insist(&to, request("c.example"), TIME).await.unwrap_err();
    assert_eq!(status(&lying), 403);
    let many = send_transaction_message::v1::Request {
        pdus: vec![to_raw_value(&json!({})).unwrap(); 51],
        ..request("b.example")
    };
    assert_eq!(status(&client.insist(&to, many, TIME).await.unwrap_err()), 400);
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

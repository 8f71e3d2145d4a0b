//! The sender against servers that are there, away, slow or fussy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use model::{
    EventNumber, RoomNumber,
    build::{self, EventTemplate, Place as GraphPlace},
    room_version::RoomVersion,
};
use ruma::{RoomId, UserId};
use serde_json::{Value, json, value::to_raw_value};
use services::destinations::Destinations;
use store::{
    events::{self, EventRecord, Place, Standing},
    log::Change,
    memberships::{self, ServerInRoom},
    rooms::{self, RoomHead},
};
use tokio::task::JoinHandle;

use crate::{
    Federation,
    worlds::{Receiver, World, eventually, server},
};

/// A homeserver with rooms whose rows the test writes itself.
struct Writing {
    home: Federation,
    next: u64,
    running: Option<JoinHandle<()>>,
}

impl Writing {
    fn new(home: Federation) -> Self {
        Self { home, next: 1, running: None }
    }

    /// The same homeserver in its next life.
    async fn anew(&self, world: &World) -> Self {
        let home = world.open("a.example", 1, [1; 32], Default::default()).await;
        Self { home, next: self.next, running: None }
    }

    /// Lets the sender run.
    async fn run(&mut self) {
        let sender = self.home.sender.clone();
        self.running = Some(tokio::spawn(async move { sender.run().await }));
        let inner = &self.home.sender.inner;
        eventually(|| inner.state.lock().ready).await;
    }

    /// An event that brings a server into the room.
    async fn enter(&mut self, room: u64, name: &str) {
        let since = self.write(room, &format!("@u:{name}"), "enters", |_, _| ()).await;
        self.presence(room, name, ServerInRoom { joined: 1, since, until: None }).await;
    }

    async fn presence(&self, room: u64, name: &str, presence: ServerInRoom) {
        let context = self.home.context();
        let mut batch = context.batch();
        memberships::put_server(&mut batch, name, RoomNumber(room), &presence);
        context.log.commit(batch, vec![Change::Nothing]).await.unwrap();
    }

    async fn say(&mut self, room: u64, body: &str) -> EventNumber {
        self.write(room, "@alice:a.example", body, |_, _| ()).await
    }

    async fn write(
        &mut self,
        room: u64,
        sender: &str,
        body: &str,
        also: impl FnOnce(&mut kv::Batch, EventNumber),
    ) -> EventNumber {
        let context = self.home.context();
        let number = EventNumber(self.next);
        self.next += 1;
        let room_id = RoomId::parse(format!("!{room}:a.example")).unwrap();
        let template = EventTemplate {
            room_id: Some(room_id.clone()),
            sender: UserId::parse(sender).unwrap(),
            event_type: "m.room.message".to_owned(),
            state_key: None,
            content: to_raw_value(&json!({ "body": body })).unwrap(),
            redacts: None,
            origin_server_ts: 1,
        };
        let place = GraphPlace { prev_events: vec![], auth_events: vec![], depth: 1 };
        let (name, key) = (&context.server_name, &context.signing_key.current());
        let pdu = build::build_and_sign(&template, &place, RoomVersion::V11, name, key).unwrap();
        let record = EventRecord {
            event_id: pdu.event_id.to_string(),
            standing: Standing::Accepted,
            state_before: None,
            state_after: None,
            auth: vec![],
            place: Place::Live(0),
            redacted_by: None,
            sent_by: None,
        };
        let mut batch = context.batch();
        events::put(&mut batch, RoomNumber(room), number, &record, pdu.record());
        events::append_to_timeline(&mut batch, RoomNumber(room), 0, number);
        rooms::put_head(&mut batch, RoomNumber(room), &head(room_id.as_str()));
        also(&mut batch, number);
        let change = Change::Events { room: RoomNumber(room), events: vec![number] };
        context.log.commit(batch, vec![change]).await.unwrap();
        number
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

fn head(room_id: &str) -> RoomHead {
    RoomHead {
        room_id: room_id.to_owned(),
        room_version: "11".to_owned(),
        extremities: vec![],
        state: [0; 16],
        depth: 1,
        next_event: 1,
        next_backfill: -1,
        blocked: false,
    }
}

fn receiver(world: &World, name: &str) -> Receiver {
    let receiver = Receiver::default();
    world.transport.open(server(name), receiver.router());
    receiver
}

/// One that has said something to b.example.
async fn speaking(world: &mut World) -> Writing {
    let mut a = writing(world).await;
    a.run().await;
    a.enter(1, "b.example").await;
    a.say(1, "one").await;
    a
}

async fn writing(world: &mut World) -> Writing {
    Writing::new(world.home("a.example").await)
}

#[tokio::test]
async fn our_events_go_to_the_servers_of_the_room_in_order() {
    let mut world = World::new();
    let (b, c) = (receiver(&world, "b.example"), receiver(&world, "c.example"));
    let mut a = writing(&mut world).await;
    a.run().await;
    a.enter(1, "a.example").await;
    a.say(1, "before b").await;
    a.enter(1, "b.example").await;
    a.enter(2, "c.example").await;
    for nth in 0..120 {
        a.say(1, &nth.to_string()).await;
    }
    a.say(2, "for c").await;
    let expected: Vec<String> = (0..120).map(|nth| nth.to_string()).collect();
    assert_eq!(b.bodies_of(120).await, expected);
    assert_eq!(c.bodies_of(1).await, ["for c"]);
    let most = b.taken().iter().map(|(_, body)| body["pdus"].as_array().unwrap().len()).max();
    assert!(most <= Some(50));
    // Nothing is left of it.
    eventually(|| a.home.sender.inner.state.lock().lanes.is_empty()).await;
}

#[tokio::test]
async fn a_server_gets_the_event_that_ends_its_stay_and_nothing_after() {
    let mut world = World::new();
    let b = receiver(&world, "b.example");
    let mut a = speaking(&mut world).await;
    b.bodies_of(1).await;
    let kick = a
        .write(1, "@alice:a.example", "kick", |batch, number| {
            let left = ServerInRoom { joined: 0, since: EventNumber(1), until: Some(number) };
            memberships::put_server(batch, "b.example", RoomNumber(1), &left);
        })
        .await;
    a.say(1, "secret").await;
    assert_eq!(b.bodies_of(2).await, ["one", "kick"]);
    // It comes back later; what was said meanwhile is not for it.
    let since = a.write(1, "@u:b.example", "enters", |_, _| ()).await;
    assert!(since > kick);
    a.presence(1, "b.example", ServerInRoom { joined: 1, since, until: None }).await;
    a.say(1, "again").await;
    assert_eq!(b.bodies_of(3).await, ["one", "kick", "again"]);
}

#[tokio::test]
async fn a_server_that_was_away_is_caught_up_with_and_delays_nobody() {
    let mut world = World::new();
    let c = receiver(&world, "c.example");
    let mut a = writing(&mut world).await;
    a.run().await;
    a.enter(1, "b.example").await;
    a.enter(1, "c.example").await;
    for nth in 0..60 {
        a.say(1, &nth.to_string()).await;
    }
    let expected: Vec<String> = (0..60).map(|nth| nth.to_string()).collect();
    assert_eq!(c.bodies_of(60).await, expected);
    let name = server("b.example");
    eventually(|| a.home.contacts.is_failing(&name)).await;
    let b = receiver(&world, "b.example");
    world.clock.advance(Duration::from_secs(10));
    a.home.sender.tick();
    assert_eq!(b.bodies_of(60).await, expected);
    assert!(!a.home.contacts.is_failing(&name));
}

#[tokio::test]
async fn a_sign_of_life_starts_the_sending_at_once() {
    let mut world = World::new();
    let a = speaking(&mut world).await;
    let name = server("b.example");
    eventually(|| a.home.contacts.is_failing(&name)).await;
    for _ in 0..10 {
        world.clock.advance(Duration::from_secs(5_000));
        a.home.contacts.failed(&name, a.home.context().clock.now_ms()).await;
    }
    let b = receiver(&world, "b.example");
    world.clock.advance(Duration::from_secs(6));
    assert!(a.home.contacts.paused_until(&name).is_some());
    a.home.contacts.heard_from(&name).await;
    assert_eq!(b.bodies_of(1).await, ["one"]);
}

#[tokio::test]
async fn what_was_not_sent_is_sent_after_a_restart_and_what_was_is_not() {
    let mut world = World::new();
    let b = receiver(&world, "b.example");
    let mut a = speaking(&mut world).await;
    b.bodies_of(1).await;
    eventually(|| a.home.sender.inner.state.lock().lanes.is_empty()).await;
    a.running.take().unwrap().abort();
    a.home.sender.keep().await;
    world.transport.close(&server("b.example"));
    a.say(1, "two").await;
    world.transport.open(server("b.example"), b.router());
    let mut again = a.anew(&world).await;
    again.run().await;
    assert_eq!(b.bodies_of(2).await, ["one", "two"]);
    again.say(1, "three").await;
    assert_eq!(b.bodies_of(3).await, ["one", "two", "three"]);
}

#[tokio::test]
async fn what_was_sent_just_before_a_crash_is_sent_again() {
    let mut world = World::new();
    let b = receiver(&world, "b.example");
    let mut a = speaking(&mut world).await;
    b.bodies_of(1).await;
    a.running.take().unwrap().abort();
    a.say(1, "two").await;
    let mut again = a.anew(&world).await;
    again.run().await;
    assert_eq!(b.bodies_of(3).await, ["one", "one", "two"]);
}

#[tokio::test]
async fn a_failure_is_not_forgotten_with_the_cursor() {
    let mut world = World::new();
    let b = receiver(&world, "b.example");
    let a = speaking(&mut world).await;
    b.bodies_of(1).await;
    let name = server("b.example");
    eventually(|| !a.home.sender.inner.state.lock().lanes.contains_key(&name)).await;
    a.home.contacts.failed(&name, 0).await;
    a.home.sender.keep().await;
    let again = a.anew(&world).await;
    again.home.contacts.load().await.unwrap();
    assert!(again.home.contacts.is_failing(&name));
}

#[tokio::test]
async fn an_event_that_a_server_cannot_bear_stops_no_other() {
    let mut world = World::new();
    let b = receiver(&world, "b.example");
    b.refuse(|body| {
        let poison = body["pdus"].as_array().unwrap().iter().any(|p| p["content"]["body"] == "7");
        poison.then_some(StatusCode::BAD_REQUEST)
    });
    let mut a = writing(&mut world).await;
    a.enter(1, "b.example").await;
    for nth in 0..20 {
        a.say(1, &nth.to_string()).await;
    }
    a.run().await;
    let expected: Vec<String> = (0..20).filter(|n| *n != 7).map(|n| n.to_string()).collect();
    assert_eq!(b.bodies_of(19).await, expected);
    a.say(1, "after").await;
    assert_eq!(b.bodies_of(20).await.last().unwrap(), "after");
}

#[tokio::test]
async fn a_server_that_refuses_us_is_left_alone_but_loses_nothing() {
    let mut world = World::new();
    let b = receiver(&world, "b.example");
    let closed = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&closed);
    b.refuse(move |_| shared.load(Ordering::Relaxed).then_some(StatusCode::FORBIDDEN));
    let a = speaking(&mut world).await;
    let name = server("b.example");
    eventually(|| a.home.contacts.is_failing(&name)).await;
    closed.store(false, Ordering::Relaxed);
    world.clock.advance(Duration::from_secs(10));
    a.home.sender.tick();
    assert_eq!(b.bodies_of(1).await, ["one"]);
}

#[tokio::test]
async fn what_waits_for_a_server_is_sent_once() {
    let mut world = World::new();
    let b = receiver(&world, "b.example");
    let mut a = writing(&mut world).await;
    let destinations = Destinations::new(a.home.context().clone());
    let edu =
        |nth: u32| to_raw_value(&json!({ "edu_type": "x", "content": { "n": nth } })).unwrap();
    destinations.enqueue_edu(&[server("b.example")], &edu(1)).await.unwrap();
    a.run().await;
    destinations.enqueue_edu(&[server("b.example")], &edu(2)).await.unwrap();
    a.enter(1, "b.example").await;
    a.enter(1, "c.example").await;
    let foreign = a.write(1, "@u:c.example", "forwarded", |_, _| ()).await;
    destinations.forward(RoomNumber(1), foreign, &server("c.example")).await.unwrap();
    assert_eq!(b.bodies_of(1).await, ["forwarded"]);
    let edus = || -> Vec<Value> {
        let taken = b.taken();
        let edus = taken.iter().filter_map(|(_, body)| body["edus"].as_array().cloned());
        edus.flatten().map(|edu| edu["content"]["n"].clone()).collect()
    };
    assert_eq!(edus(), [json!(1), json!(2)]);
    let inner = &a.home.sender.inner;
    eventually(|| !inner.state.lock().lanes.contains_key(&server("b.example"))).await;
    a.say(1, "last").await;
    assert_eq!(b.bodies_of(2).await, ["forwarded", "last"]);
    assert_eq!(edus().len(), 2);
}

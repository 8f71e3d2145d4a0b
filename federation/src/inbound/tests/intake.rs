//! How what is pushed comes into its room: at once, or after a while, and beside what.

use std::pin::pin;

use super::*;

fn json_of(pdu: &Pdu) -> Value {
    serde_json::from_slice(pdu.json()).unwrap()
}

impl Company {
    /// Says things that are sent to nobody; answers them as events.
    async fn mutter(&self, localpart: &str, room: &RoomId, bodies: &[&str]) -> Vec<Value> {
        self.at_work.abort();
        for body in bodies {
            self.say(localpart, room, body).await;
        }
        let timeline = self.timeline(room).await;
        timeline[timeline.len() - bodies.len()..].iter().map(|pdu| json_of(pdu)).collect()
    }

    fn position(&self) -> u64 {
        self.home.context().log.position()
    }

    fn has_staged(&self) -> bool {
        !store::staged::rooms(&self.home.context().store.snapshot()).unwrap().is_empty()
    }
}

/// A server that takes every question and answers none.
fn silent() -> Router {
    Router::new().fallback(std::future::pending::<StatusCode>)
}

#[tokio::test]
async fn what_needs_nobody_is_taken_in_by_one_commit() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    b.say("bob", &room, "hello").await;
    a.sees(&room, &["hello"]).await;
    a.settles().await;
    let said = b.mutter("bob", &room, &["one", "two", "three"]).await;
    let before = a.position();
    b.push("a.example", said).await;
    assert_eq!(a.bodies(&room).await, ["hello", "one", "two", "three"]);
    assert_eq!(a.position(), before + 1);
    assert!(a.home.intake.is_idle());
}

#[tokio::test]
async fn a_change_of_the_rooms_state_has_a_commit_of_its_own() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    a.settles().await;
    b.at_work.abort();
    b.say("bob", &room, "one").await;
    b.send(
        "bob",
        &room,
        "m.room.member",
        Some("@bob:b.example"),
        json!({
            "membership": "join", "displayname": "Bob",
        }),
    )
    .await;
    b.say("bob", &room, "two").await;
    let timeline = b.timeline(&room).await;
    let said = timeline[timeline.len() - 3..].iter().map(|pdu| json_of(pdu)).collect();
    let before = a.position();
    b.push("a.example", said).await;
    assert_eq!(
        (a.bodies(&room).await, a.position()),
        (vec!["one".into(), "two".into()], before + 3)
    );
}

#[tokio::test]
async fn events_come_once_though_their_transaction_comes_twice() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V11).await;
    let said = b.mutter("bob", &room, &["one", "two"]).await;
    let request = || send_transaction_message::v1::Request {
        pdus: said.iter().map(|pdu| to_raw_value(pdu).unwrap()).collect(),
        ..send_transaction_message::v1::Request::new(
            "same".into(),
            server("b.example"),
            super::super::events::now(&b.home),
        )
    };
    let first = b.home.client.insist(&server("a.example"), request(), TIME).await.unwrap();
    let position = a.position();
    let again = b.home.client.insist(&server("a.example"), request(), TIME).await.unwrap();
    assert_eq!(first.pdus.keys().collect::<Vec<_>>(), again.pdus.keys().collect::<Vec<_>>());
    assert_eq!((a.position(), first.pdus.len()), (position, 2));
    // In another transaction they are known, too.
    b.push("a.example", said).await;
    assert_eq!(a.bodies(&room).await, ["one", "two"]);
}

#[tokio::test]
async fn what_lacks_its_past_waits_and_the_rest_of_its_transaction_does_not() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    let said = b.mutter("bob", &room, &["one", "two", "three"]).await;
    world.transport.open(server("b.example"), silent());
    b.push("a.example", vec![said[2].clone(), said[0].clone()]).await;
    assert_eq!(a.bodies(&room).await, ["one"]);
    assert!(a.has_staged());
    // What it follows comes at last, from elsewhere.
    b.push("a.example", vec![said[1].clone()]).await;
    world.connect(&b.home);
    crate::worlds::eventually_async(async || a.bodies(&room).await.len() == 3).await;
    assert_eq!(a.bodies(&room).await, ["one", "two", "three"]);
    crate::worlds::eventually(|| !a.has_staged()).await;
}

#[tokio::test]
async fn what_arrived_is_taken_in_though_its_server_has_hung_up() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    let said = b.mutter("bob", &room, &["one", "two"]).await;
    world.engine.hold();
    {
        let mut pushing = pin!(b.push("a.example", vec![said[1].clone()]));
        // Nobody waits for anything but the commit.
        for _ in 0..1_000 {
            tokio::select! {
                biased;
                answer = &mut pushing => panic!("nothing was durable yet: {answer}"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    world.engine.release();
    a.sees(&room, &["one", "two"]).await;
}

#[tokio::test]
async fn a_redaction_hides_what_comes_after_it_in_the_same_transaction() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    let secret = b.mutter("bob", &room, &["a secret"]).await.remove(0);
    let timeline = b.timeline(&room).await;
    let target = timeline.last().unwrap();
    // Bob's other device does not know yet what it redacts: neither follows the other.
    let template = EventTemplate {
        room_id: Some(room.clone()),
        sender: b.user("bob"),
        event_type: "m.room.redaction".to_owned(),
        state_key: None,
        content: to_raw_value(&json!({ "redacts": target.event_id })).unwrap(),
        redacts: Some(target.event_id.clone()),
        origin_server_ts: 2,
    };
    let place = Place {
        prev_events: target.prev_events.clone(),
        auth_events: target.auth_events.clone(),
        depth: target.depth,
    };
    let context = b.home.context();
    let key = &context.signing_key.current();
    let (version, name) = (RoomVersion::V12, &context.server_name);
    let redaction = build::build_and_sign(&template, &place, version, name, key).unwrap();
    b.push("a.example", vec![json_of(&redaction), secret]).await;
    assert_eq!(a.bodies(&room).await, ["(redacted)"]);
}

#[tokio::test]
async fn a_server_that_answers_slowly_delays_no_other_room() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let (room, c) = {
        let room = a.create(RoomVersion::V12, Preset::PublicChat, json!([])).await;
        let c = Company::open(&mut world, "c.example").await;
        c.join("carol", &room, "a.example").await.unwrap();
        (room, c)
    };
    let mut gaps = Vec::new();
    for _ in 0..20 {
        let shared = a.create(RoomVersion::V12, Preset::PublicChat, json!([])).await;
        b.join("bob", &shared, "a.example").await.unwrap();
        gaps.push(shared);
    }
    world.transport.open(server("b.example"), silent());
    for shared in gaps {
        let said = b.mutter("bob", &shared, &["one", "two"]).await;
        b.push("a.example", vec![said[1].clone()]).await;
    }
    // It has to be asked for something, too.
    let said = c.mutter("carol", &room, &["one", "two"]).await;
    c.push("a.example", vec![said[1].clone()]).await;
    a.sees(&room, &["one", "two"]).await;
}

#[tokio::test]
async fn a_server_that_answers_slowly_delays_nobody_else_in_its_room() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    let c = Company::open(&mut world, "c.example").await;
    c.join("carol", &room, "a.example").await.unwrap();
    let said = b.mutter("bob", &room, &["one", "two"]).await;
    world.transport.open(server("b.example"), silent());
    b.push("a.example", vec![said[1].clone()]).await;
    crate::worlds::eventually(|| !a.home.intake.is_idle()).await;
    c.say("carol", &room, "hello").await;
    a.sees(&room, &["hello"]).await;
    assert!(!a.home.intake.is_idle());
}

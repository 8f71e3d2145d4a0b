//! Events that come before what they follow.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn what_was_said_in_a_room_can_be_had_from_a_server_that_has_left_it() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    let c = Company::open(&mut world, "c.example").await;
    let said = b.say("bob", &room, "a last word").await;
    a.sees(&room, &["a last word"]).await;
    b.home.services.rooms.leave(b.entering("bob", &room, "b.example")).await.unwrap();
    let to = server("b.example");
    let ask = async |company: &Company| {
        let request = get_event::v1::Request::new(said.clone());
        company.home.client.insist(&to, request, TIME).await
    };
    assert!(ask(&a).await.is_ok());
    assert_eq!(status(&ask(&c).await.unwrap_err()), 404);
    // It does not speak for the room any more.
    let request = prepare_join_event::v1::Request::new(room.clone(), a.user("carol"));
    assert_eq!(status(&a.home.client.insist(&to, request, TIME).await.unwrap_err()), 404);
}

#[tokio::test]
async fn an_event_waits_for_what_it_follows_though_nobody_shows_that_yet() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    b.say("bob", &room, "first of all").await;
    a.sees(&room, &["first of all"]).await;
    // From now on it sends nothing by itself, and shows nothing.
    b.at_work.abort();
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let nothing = Router::new().fallback(move || {
        counting.fetch_add(1, Ordering::Relaxed);
        async { Json(json!({ "events": [], "pdus": [] })) }
    });
    world.transport.open(server("b.example"), nothing);
    b.say("bob", &room, "one").await;
    b.say("bob", &room, "two").await;
    let timeline = b.timeline(&room).await;
    let json = |pdu: &Arc<Pdu>| serde_json::from_slice::<Value>(pdu.json()).unwrap();
    let [.., one, two] = &timeline[..] else { panic!("they were not said") };
    b.push("a.example", vec![json(two)]).await;
    crate::worlds::eventually(|| asked.load(Ordering::Relaxed) > 0).await;
    b.push("a.example", vec![json(one)]).await;
    a.sees(&room, &["first of all", "one", "two"]).await;
}

#[tokio::test]
async fn an_event_waits_until_its_past_can_be_had() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    b.say("bob", &room, "first of all").await;
    a.sees(&room, &["first of all"]).await;
    b.at_work.abort();
    let name = server("b.example");
    world.transport.close(&name);
    b.say("bob", &room, "one").await;
    b.say("bob", &room, "two").await;
    let timeline = b.timeline(&room).await;
    let two = timeline.last().unwrap();
    b.push("a.example", vec![serde_json::from_slice(two.json()).unwrap()]).await;
    crate::worlds::eventually(|| a.home.contacts.is_failing(&name)).await;
    world.connect(&b.home);
    world.clock.advance(Duration::from_secs(10));
    a.sees(&room, &["first of all", "one", "two"]).await;
}

#[tokio::test]
async fn an_event_waits_until_the_keys_of_its_server_can_be_had() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    let c = Company::open(&mut world, "c.example").await;
    // Carol's join comes to b from a, while nobody knows c's keys but a.
    let name = server("b.example");
    world.transport.close(&name);
    c.join("carol", &room, "a.example").await.unwrap();
    c.at_work.abort();
    crate::worlds::eventually(|| a.home.contacts.is_failing(&name)).await;
    world.transport.close(&server("c.example"));
    world.connect(&b.home);
    world.clock.advance(Duration::from_secs(10));
    a.home.sender.tick();
    crate::worlds::eventually(|| !b.home.intake.is_idle()).await;
    world.connect(&c.home);
    world.clock.advance(Duration::from_secs(300));
    let carol = c.user("carol");
    crate::worlds::eventually_async(async || {
        b.membership(&room, &carol).await == MembershipState::Join
    })
    .await;
}

#[tokio::test]
async fn a_server_is_told_of_what_put_it_out_and_of_what_was_before_it() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    let name = server("b.example");
    world.transport.close(&name);
    a.say("alice", &room, "before the ban").await;
    let ban = NewMembership {
        sender: a.user("alice"),
        target: b.user("bob"),
        membership: MembershipState::Ban,
        content: Map::new(),
    };
    a.home.services.rooms.set_membership(&room, ban).await.unwrap();
    a.say("alice", &room, "after the ban").await;
    crate::worlds::eventually(|| a.home.contacts.is_failing(&name)).await;
    world.connect(&b.home);
    world.clock.advance(Duration::from_secs(10));
    a.home.sender.tick();
    b.sees(&room, &["before the ban"]).await;
    crate::worlds::eventually_async(async || {
        b.membership(&room, &b.user("bob")).await == MembershipState::Ban
    })
    .await;
    assert_eq!(b.bodies(&room).await, ["before the ban"]);
}

#[tokio::test]
async fn what_was_said_before_a_server_left_is_sent_after_it_has_come_back() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V12).await;
    let c = Company::open(&mut world, "c.example").await;
    c.join("carol", &room, "a.example").await.unwrap();
    crate::worlds::eventually_async(async || {
        b.membership(&room, &c.user("carol")).await == MembershipState::Join
    })
    .await;
    let name = server("a.example");
    world.transport.close(&name);
    b.say("bob", &room, "a last word").await;
    b.home.services.rooms.leave(b.entering("bob", &room, "c.example")).await.unwrap();
    crate::worlds::eventually_async(async || {
        c.membership(&room, &b.user("bob")).await == MembershipState::Leave
    })
    .await;
    b.join("bob", &room, "c.example").await.unwrap();
    crate::worlds::eventually(|| b.home.contacts.is_failing(&name)).await;
    world.connect(&a.home);
    world.clock.advance(Duration::from_secs(10));
    b.home.sender.tick();
    a.sees(&room, &["a last word"]).await;
}

#[tokio::test]
async fn what_comes_before_a_join_has_ended_is_not_lost() {
    let mut world = World::new();
    let a = Arc::new(Company::open(&mut world, "a.example").await);
    let b = Company::open(&mut world, "b.example").await;
    let room = a.create(RoomVersion::V12, Preset::PublicChat, json!([])).await;
    let (home, real) = (Arc::clone(&a), crate::inbound::router_of(a.home.clone()));
    let (a_contacts, said_in) = (a.home.contacts.clone(), room.clone());
    let slow = Router::new().fallback(move |request: axum::extract::Request| {
        let (home, real, room) = (Arc::clone(&home), real.clone(), said_in.clone());
        let contacts = a_contacts.clone();
        async move {
            let is_join = request.uri().path().contains("/send_join/");
            let answer = tower::ServiceExt::oneshot(real, request).await.unwrap();
            if is_join {
                // The room goes on before the one who joins has heard that he is in.
                home.say("alice", &room, "too early").await;
                let name = server("b.example");
                crate::worlds::eventually(|| contacts.is_failing(&name)).await;
            }
            answer
        }
    });
    world.transport.open(server("a.example"), slow);
    b.join("bob", &room, "a.example").await.unwrap();
    world.clock.advance(Duration::from_secs(10));
    a.home.sender.tick();
    b.sees(&room, &["too early"]).await;
}

#[tokio::test]
async fn state_is_shown_as_it_is_whatever_the_visibility_of_history() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let state = json!([["m.room.history_visibility", { "history_visibility": "joined" }]]);
    let room = a.create(RoomVersion::V11, Preset::PublicChat, state).await;
    let name = a.send("alice", &room, "m.room.name", Some(""), json!({ "name": "Ledger" })).await;
    b.join("bob", &room, "a.example").await.unwrap();
    let request = get_event::v1::Request::new(name);
    let answer = b.home.client.insist(&server("a.example"), request, TIME).await.unwrap();
    let pdu: Value = serde_json::from_str(answer.pdu.get()).unwrap();
    assert_eq!(pdu["content"]["name"], "Ledger");
}

/// A public room of alice at a.example, and bob's b.example, which joins while the server of carol,
/// who is in it, and the only notary are away.
struct Vouched {
    world: World,
    room: OwnedRoomId,
    notary: Federation,
    b: Company,
    _others: [Company; 2],
}

async fn vouched() -> Vouched {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let c = Company::open(&mut world, "c.example").await;
    let notary = world.home("notary.example").await;
    let room = a.create(RoomVersion::V12, Preset::PublicChat, json!([])).await;
    c.join("carol", &room, "a.example").await.unwrap();
    let away = server("c.example");
    notary.keys.key(&away, "ed25519:1", crate::keys::When::Now).await.unwrap();
    world.transport.close(&away);
    world.transport.close(&server("notary.example"));
    let settings = crate::FederationSettings { notaries: vec![server("notary.example")] };
    let home = world.home_with("b.example", settings).await;
    let working = home.clone();
    let b = Company { home, at_work: tokio::spawn(async move { working.run().await }) };
    Vouched { world, room, notary, b, _others: [a, c] }
}

#[tokio::test]
async fn a_join_waits_for_a_notary_that_does_not_answer() {
    let Vouched { world, room, notary, b, _others } = vouched().await;
    let refused = b.join("bob", &room, "a.example").await.unwrap_err();
    assert!(refused.contains("keys"), "{refused}");
    world.connect(&notary);
    world.clock.advance(Duration::from_secs(300));
    b.join("bob", &room, "a.example").await.unwrap();
    let carol = UserId::parse("@carol:c.example").unwrap();
    assert_eq!(b.membership(&room, &carol).await, MembershipState::Join);
}

#[tokio::test]
async fn a_join_does_not_wait_for_a_notary_that_never_answers() {
    let Vouched { world, room, b, .. } = vouched().await;
    b.join("bob", &room, "a.example").await.unwrap_err();
    world.clock.advance(Duration::from_secs(1_000));
    b.join("bob", &room, "a.example").await.unwrap();
}

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

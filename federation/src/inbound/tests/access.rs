//! What a server is shown of a room, and what it is not.

use super::*;

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

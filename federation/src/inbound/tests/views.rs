//! What servers are shown beside events: presence, spaces, events of a time.

use ruma::{
    MilliSecondsSinceUnixEpoch, UInt,
    api::{
        Direction,
        federation::{event::get_event_by_timestamp, space::get_hierarchy},
    },
    presence::PresenceState,
};

use super::*;

#[tokio::test]
async fn who_is_there_is_told_to_those_who_share_a_room() {
    let mut world = World::new();
    let (a, b, _room) = pair(&mut world, RoomVersion::V12).await;
    let bob = b.user("bob");
    let set = async |state: PresenceState| {
        let status = Some("at sea".to_owned());
        b.home.services.presences.set(&bob, "PHONE", state, status).await.unwrap();
    };
    let there = || a.home.services.presences.there();
    set(PresenceState::Online).await;
    crate::worlds::eventually(|| there() == [bob.clone()]).await;
    let seen = a.home.services.presences.get(&a.user("alice"), &bob).await.unwrap().unwrap();
    assert_eq!(seen.status_msg.as_deref(), Some("at sea"));
    set(PresenceState::Offline).await;
    crate::worlds::eventually(|| there().is_empty()).await;
}

#[tokio::test]
async fn a_server_is_shown_the_rooms_that_its_users_may_enter() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V11).await;
    let secret = a.create(RoomVersion::V11, Preset::PrivateChat, json!([])).await;
    let ask = async |room: &RoomId| {
        let request = get_hierarchy::v1::Request::new(room.to_owned());
        b.home.client.insist(&server("a.example"), request, TIME).await
    };
    let shown = ask(&room).await.unwrap();
    assert_eq!((&shown.room.summary.room_id, shown.children.len()), (&room, 0));
    let Err(RequestError::Refused(refused)) = ask(&secret).await else { panic!("it is shown") };
    assert_eq!(refused.status_code, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_server_in_the_room_finds_events_by_their_time() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V11).await;
    let c = Company::open(&mut world, "c.example").await;
    let event = a.say("alice", &room, "hello").await;
    b.sees(&room, &["hello"]).await;
    let request = || {
        let end = MilliSecondsSinceUnixEpoch(UInt::MAX);
        get_event_by_timestamp::v1::Request::new(room.clone(), end, Direction::Backward)
    };
    let found = b.home.client.insist(&server("a.example"), request(), TIME).await.unwrap();
    assert_eq!(found.event_id, event);
    assert!(c.home.client.insist(&server("a.example"), request(), TIME).await.is_err());
}

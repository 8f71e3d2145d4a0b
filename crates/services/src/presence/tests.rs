use ruma::presence::PresenceState::{Offline, Online, Unavailable};
use serde_json::Value;

use super::*;
use crate::room_world::{World, user_id};

/// Alice and Bob share a room; Carol is alone.
async fn world() -> (World, Presences) {
    let world = World::new();
    let room = world.room("alice", "shared").await;
    world.member(&room, "bob", "join").await;
    world.room("carol", "shared").await;
    let presences = Presences::new(world.context.clone());
    (world, presences)
}

fn told(events: Vec<Box<RawValue>>) -> Vec<(String, String)> {
    let event = |event: Box<RawValue>| {
        let event: Value = serde_json::from_str(event.get()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&event["sender"]), text(&event["content"]["presence"]))
    };
    let mut told: Vec<_> = events.into_iter().map(event).collect();
    told.sort();
    told
}

fn of(user: &str, presence: &str) -> (String, String) {
    (user_id(user).to_string(), presence.to_owned())
}

#[tokio::test]
async fn those_who_share_a_room_see_who_is_there() {
    let (_world, presences) = world().await;
    let start = *presences.watch().borrow();
    let status = Some("in the warehouse".to_owned());
    presences.set(&user_id("alice"), "PHONE", Online, status.clone()).await.unwrap();
    assert_eq!(told(presences.events("bob", start)), [of("alice", "online")]);
    assert_eq!(told(presences.events("alice", start)), [of("alice", "online")]);
    assert!(presences.events("carol", start).is_empty());
    assert!(presences.has_news("bob", start) && !presences.has_news("carol", start));
    assert_eq!(presences.there(), [user_id("alice")]);

    let seen = presences.get(&user_id("bob"), &user_id("alice")).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.status_msg), (Online, status));
    assert_eq!(presences.get(&user_id("carol"), &user_id("alice")).await.unwrap(), None);
    let own = presences.get(&user_id("carol"), &user_id("carol")).await.unwrap();
    assert_eq!(own.unwrap().state, Offline);
}

#[tokio::test]
async fn a_user_is_as_much_there_as_his_most_active_device() {
    let (world, presences) = world().await;
    let alice = user_id("alice");
    presences.syncs(&alice, "PHONE", Online, 0).await.unwrap();
    let serial = *presences.watch().borrow();
    presences.syncs(&alice, "DESKTOP", Unavailable, 60_000).await.unwrap();
    presences.syncs(&alice, "TABLET", Offline, 60_000).await.unwrap();
    assert_eq!(*presences.watch().borrow(), serial, "nothing is new");
    for (after_ms, expected) in [(31_000, "unavailable"), (60_000, "offline")] {
        let serial = *presences.watch().borrow();
        world.clock.advance(std::time::Duration::from_millis(after_ms));
        presences.expire().await.unwrap();
        assert_eq!(told(presences.events("bob", serial)), [of("alice", expected)]);
    }
    assert!(presences.there().is_empty());
}

#[tokio::test]
async fn a_server_speaks_for_its_own_users_only() {
    let (world, presences) = world().await;
    let here = Presence { state: Online, status_msg: None, last_active_ms: 1 };
    let hansa: OwnedServerName = "hansa.example".try_into().unwrap();
    presences.set_remote(&hansa, &user_id("alice"), here.clone()).await.unwrap();
    let stranger: OwnedUserId = "@eve:hansa.example".try_into().unwrap();
    presences.set_remote(&hansa, &stranger, here).await.unwrap();
    assert!(presences.0.known.lock().users.is_empty());
    drop(world);
}

use std::time::Duration;

use model::room_version::RoomVersion;
use ruma::OwnedRoomId;
use serde_json::{Value, json};

use crate::{
    rooms::create::{NewRoom, Preset},
    sessions::Caller,
    testing::World,
};

impl World {
    async fn room_of(&self, creator: &Caller) -> OwnedRoomId {
        let creator = creator.user_id.clone();
        let new = NewRoom::new(creator, RoomVersion::V12, Preset::PrivateChat);
        self.services.rooms.create(new).await.unwrap()
    }

    /// The user's member event in the room: its content.
    async fn member(&self, room_id: &OwnedRoomId, user: &Caller) -> Value {
        let room = self.services.rooms.get(room_id).await.unwrap();
        let user = user.user_id.to_string();
        let event = self.services.rooms.read(room.number, move |rows| {
            let head = store::rooms::head(rows.snapshot, rows.room)?.unwrap();
            let entry = rows.state(head.state).entry("m.room.member", &user)?.unwrap();
            Ok::<_, kv::StoreError>(rows.event(entry.event)?.unwrap())
        });
        let event = event.await.unwrap();
        serde_json::from_str(event.pdu.content().get()).unwrap()
    }

    async fn rename(&self, user: &Caller, name: &str) {
        let name = json!(name);
        self.services.profiles.set(user, "displayname", Some(&name)).await.unwrap();
    }
}

#[tokio::test]
async fn a_new_name_reaches_every_room_even_after_a_crash() {
    let world = World::new();
    let alice = world.user("alice").await;
    let first = world.room_of(&alice).await;
    world.clock.advance(Duration::from_millis(1));
    let rooms = [first, world.room_of(&alice).await];
    world.rename(&alice, "Alice").await;
    // The process died before the rooms followed: the next one finds what is to do.
    world.services.member_events.follow_all().await.unwrap();
    for room in &rooms {
        let expected = json!({ "membership": "join", "displayname": "Alice" });
        assert_eq!(world.member(room, &alice).await, expected);
    }
    let position = world.services.context.log.position();
    world.services.member_events.follow_all().await.unwrap();
    world.services.member_events.follow_user(&alice.user_id).await.unwrap();
    assert_eq!(world.services.context.log.position(), position, "it is done once");
}

#[tokio::test]
async fn what_rooms_do_not_show_is_not_told_to_them() {
    let world = World::new();
    let alice = world.user("alice").await;
    world.services.profiles.set(&alice, "m.tz", Some(&json!("Europe/Tallinn"))).await.unwrap();
    let position = world.services.context.log.position();
    world.services.member_events.follow_all().await.unwrap();
    assert_eq!(world.services.context.log.position(), position);
}

#[tokio::test]
async fn who_is_deactivated_leaves_his_rooms() {
    let world = World::new();
    let alice = world.user("alice").await;
    let room = world.room_of(&alice).await;
    world.services.accounts.deactivate(&alice.user_id, true).await.unwrap();
    world.services.member_events.follow_all().await.unwrap();
    assert_eq!(world.member(&room, &alice).await["membership"], "leave");
}

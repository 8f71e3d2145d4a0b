//! Who types, until when, and who is told.

use std::time::Duration;

use super::{TYPING_TIME_MS_MAX, Typing, TypingChange};
use crate::{
    receipts::ReceiptError,
    testing::{World, bare_room::BareRoom},
};

const ALICE: &str = "@alice:acme.example";
const BOB: &str = "@bob:other.example";

async fn world() -> (World, BareRoom, Typing) {
    let world = World::new();
    let room = BareRoom::new(&world.services.context).await;
    room.join(ALICE).await;
    room.join(BOB).await;
    let typing = Typing::new(world.services.context.clone());
    (world, room, typing)
}

#[tokio::test]
async fn a_user_types_until_the_time_is_over() {
    let (world, room, typing) = world().await;
    let start = typing.serial();
    typing.set(ALICE.try_into().unwrap(), &room.id, Some(10_000)).await.unwrap();
    let (users, serial) = typing.in_room(room.number);
    assert_eq!(users, [ALICE]);
    assert!(serial > start);
    world.clock.advance(Duration::from_secs(9));
    assert_eq!(typing.in_room(room.number), (users, serial));
    world.clock.advance(Duration::from_secs(1));
    let (users, later) = typing.in_room(room.number);
    assert!(users.is_empty());
    assert!(later > serial);
    assert_eq!(typing.serial(), later);
}

#[tokio::test]
async fn typing_on_is_no_news_but_takes_longer() {
    let (world, room, typing) = world().await;
    let alice = ALICE.try_into().unwrap();
    typing.set(alice, &room.id, Some(10_000)).await.unwrap();
    let serial = typing.serial();
    world.clock.advance(Duration::from_secs(9));
    typing.set(alice, &room.id, Some(10_000)).await.unwrap();
    assert_eq!(typing.serial(), serial);
    world.clock.advance(Duration::from_secs(9));
    assert_eq!(typing.in_room(room.number).0, [ALICE]);
    typing.set(alice, &room.id, None).await.unwrap();
    assert!(typing.in_room(room.number).0.is_empty());
    // Who does not type cannot stop.
    let serial = typing.serial();
    typing.set(alice, &room.id, None).await.unwrap();
    assert_eq!(typing.serial(), serial);
}

#[tokio::test]
async fn nobody_types_for_ever() {
    let (world, room, typing) = world().await;
    typing.set(ALICE.try_into().unwrap(), &room.id, Some(u64::MAX)).await.unwrap();
    assert!(typing.expire().is_some());
    world.clock.advance(Duration::from_millis(TYPING_TIME_MS_MAX));
    assert_eq!(typing.expire(), None);
    assert!(typing.in_room(room.number).0.is_empty());
}

#[tokio::test]
async fn only_members_type() {
    let (_world, room, typing) = world().await;
    room.leave(ALICE).await;
    let result = typing.set(ALICE.try_into().unwrap(), &room.id, Some(1_000)).await;
    assert!(matches!(result, Err(ReceiptError::NotJoined)));
}

#[tokio::test]
async fn another_server_speaks_for_its_own_members_only() {
    let (_world, room, typing) = world().await;
    let other = "other.example".try_into().unwrap();
    for foreign in [ALICE, "@carol:third.example", "@dave:other.example"] {
        typing.set_remote(other, &room.id, foreign.try_into().unwrap(), true).await.unwrap();
        assert!(typing.in_room(room.number).0.is_empty(), "{foreign}");
    }
    typing.set_remote(other, &room.id, BOB.try_into().unwrap(), true).await.unwrap();
    assert_eq!(typing.in_room(room.number).0, [BOB]);
    typing.set_remote(other, &room.id, BOB.try_into().unwrap(), false).await.unwrap();
    assert!(typing.in_room(room.number).0.is_empty());
}

#[tokio::test]
async fn other_servers_are_told_of_our_users_only() {
    let (_world, room, typing) = world().await;
    let mut outbound = typing.outbound();
    let other = "other.example".try_into().unwrap();
    typing.set_remote(other, &room.id, BOB.try_into().unwrap(), true).await.unwrap();
    typing.set(ALICE.try_into().unwrap(), &room.id, Some(1_000)).await.unwrap();
    let told = outbound.try_recv().unwrap();
    let expected = TypingChange {
        room_id: room.id.clone(),
        room: room.number,
        user: ALICE.try_into().unwrap(),
        typing: true,
    };
    assert_eq!(told, expected);
    assert!(outbound.try_recv().is_err());
}

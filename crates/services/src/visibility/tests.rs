use serde_json::json;
use store::events;

use super::*;
use crate::{
    reader::{Reader, RoomView},
    room_world::{Room, World, reader},
};

/// Which of the given events the user sees.
async fn seen(world: &World, room: &Room, user: &str, ids: &[ruma::OwnedEventId]) -> Vec<bool> {
    let snapshot = world.context.store.snapshot();
    let reader: Reader = reader(user);
    let view = RoomView::open(&world.context, &snapshot, &reader, &room.id).unwrap().unwrap();
    let sees = |id: &ruma::OwnedEventId| view.visible(id).unwrap().is_some();
    ids.iter().map(sees).collect()
}

/// Which of the given events /sync may tell the user, who need not be let into the room for that.
async fn told(world: &World, room: &Room, user: &str, ids: &[ruma::OwnedEventId]) -> Vec<bool> {
    let snapshot = world.context.store.snapshot();
    let reader: Reader = reader(user);
    let view = RoomView::open(&world.context, &snapshot, &reader, &room.id).unwrap().unwrap();
    let number = |id| events::number(&snapshot, id).unwrap().unwrap().1;
    let event = |id| view.stored(number(id)).unwrap().unwrap();
    ids.iter().map(|id| view.oracle.sees(&event(id)).unwrap()).collect()
}

/// One message before bob's invitation, one before his join, one while he is in, one after.
async fn life(visibility: &str) -> (World, Room, Vec<ruma::OwnedEventId>) {
    let world = World::new();
    let room = world.room("alice", visibility).await;
    let mut ids = vec![world.message(&room, "alice", "before the invitation").await];
    world.member(&room, "bob", "invite").await;
    ids.push(world.message(&room, "alice", "before the join").await);
    world.member(&room, "bob", "join").await;
    ids.push(world.message(&room, "alice", "together").await);
    world.member(&room, "bob", "leave").await;
    ids.push(world.message(&room, "alice", "after the leave").await);
    (world, room, ids)
}

async fn check(visibility: &str, expected: [bool; 4]) {
    let (world, room, ids) = life(visibility).await;
    assert_eq!(seen(&world, &room, "bob", &ids).await, expected, "{visibility}");
    assert_eq!(seen(&world, &room, "alice", &ids).await, [true; 4], "{visibility}");
}

#[tokio::test]
async fn history_is_seen_as_far_as_its_visibility_says() {
    check("world_readable", [true, true, true, true]).await;
    check("shared", [true, true, true, false]).await;
    check("invited", [false, true, true, false]).await;
    check("joined", [false, false, true, false]).await;
    check("org.example.unheard_of", [true, true, true, false]).await;
}

#[tokio::test]
async fn a_stranger_sees_nothing_unless_everybody_may() {
    let (world, room, ids) = life("shared").await;
    assert_eq!(seen(&world, &room, "mallory", &ids).await, [false; 4]);
    let (world, room, ids) = life("world_readable").await;
    assert_eq!(seen(&world, &room, "mallory", &ids).await, [true; 4]);
}

#[tokio::test]
async fn an_invited_user_sees_no_history_before_he_joins() {
    let world = World::new();
    let room = world.room("alice", "shared").await;
    let message = world.message(&room, "alice", "hello").await;
    world.member(&room, "bob", "invite").await;
    assert_eq!(seen(&world, &room, "bob", &[message]).await, [false]);
}

#[tokio::test]
async fn who_leaves_sees_his_leave_and_who_joins_his_join() {
    let world = World::new();
    let room = world.room("alice", "joined").await;
    let join = world.member(&room, "bob", "join").await;
    let leave = world.member(&room, "bob", "leave").await;
    assert_eq!(seen(&world, &room, "bob", &[join, leave]).await, [true, true]);
}

#[tokio::test]
async fn who_declines_an_invitation_sees_it_and_his_answer() {
    let world = World::new();
    let room = world.room("alice", "joined").await;
    let invite = world.member(&room, "bob", "invite").await;
    let message = world.message(&room, "alice", "hello").await;
    let leave = world.member(&room, "bob", "leave").await;
    let ids = [invite, message, leave];
    assert_eq!(told(&world, &room, "bob", &ids).await, [true, false, true]);
    assert_eq!(told(&world, &room, "mallory", &ids).await, [false; 3]);
}

#[tokio::test]
async fn a_change_of_visibility_is_seen_from_both_of_its_sides() {
    let world = World::new();
    let room = world.room("alice", "joined").await;
    let hidden = world.message(&room, "alice", "hidden").await;
    let change = json!({ "history_visibility": "world_readable" });
    let change = world.state(&room, "alice", "m.room.history_visibility", "", change).await;
    let open = world.message(&room, "alice", "open").await;
    let ids = [hidden, change, open];
    assert_eq!(seen(&world, &room, "mallory", &ids).await, [false, true, true]);
}

#[tokio::test]
async fn an_earlier_membership_counts_after_a_declined_invitation() {
    let world = World::new();
    let room = world.room("alice", "shared").await;
    world.member(&room, "bob", "join").await;
    let together = world.message(&room, "alice", "together").await;
    world.member(&room, "bob", "leave").await;
    let after = world.message(&room, "alice", "after").await;
    world.member(&room, "bob", "invite").await;
    world.member(&room, "bob", "leave").await;
    assert_eq!(seen(&world, &room, "bob", &[together, after]).await, [true, false]);
}

#[tokio::test]
async fn events_that_are_not_accepted_are_never_seen() {
    let (world, room, ids) = life("world_readable").await;
    let snapshot = world.context.store.snapshot();
    let reader = reader("alice");
    let view = RoomView::open(&world.context, &snapshot, &reader, &room.id).unwrap().unwrap();
    let (_, number) = events::number(&snapshot, &ids[0]).unwrap().unwrap();
    let mut event = events::get(&snapshot, view.rows.room, number).unwrap().unwrap();
    for standing in [Standing::SoftFailed, Standing::Rejected, Standing::Outlier] {
        event.record.standing = standing;
        assert!(!view.oracle.sees(&event).unwrap(), "{standing:?}");
    }
}

use std::time::Duration;

use super::*;
use crate::room_world::{Room, World};

struct Case {
    world: World,
    inboxes: Arc<Inboxes>,
    room: Room,
    other: Room,
}

/// Alice is in two rooms, bob in the first of them.
async fn case() -> Case {
    let world = World::new();
    let room = world.room("alice", "shared").await;
    world.member(&room, "bob", "join").await;
    let other = world.room("alice", "shared").await;
    let inboxes = Inboxes::open(&world.context);
    Case { world, inboxes, room, other }
}

fn some(rooms: &[&Room], outside: bool) -> Changes {
    Changes::Some { rooms: rooms.iter().map(|room| room.number).collect(), outside }
}

#[tokio::test]
async fn an_inbox_tells_which_rooms_changed_after_a_position() {
    let Case { world, inboxes, room, other } = case().await;
    let _bell = inboxes.bell("alice");
    let start = world.context.log.position();
    assert_eq!(inboxes.changes("alice", start).unwrap(), some(&[], false));
    world.message(&other, "alice", "one").await;
    let between = world.context.log.position();
    world.message(&room, "alice", "two").await;
    world.message(&room, "alice", "three").await;
    assert_eq!(inboxes.changes("alice", between).unwrap(), some(&[&room], false));
    let Changes::Some { mut rooms, .. } = inboxes.changes("alice", start).unwrap() else {
        panic!("few changes are told one by one");
    };
    rooms.sort();
    assert_eq!(rooms, [room.number, other.number]);
}

#[tokio::test]
async fn an_inbox_that_was_not_there_is_made_from_the_log() {
    let Case { world, inboxes, room, other } = case().await;
    let start = world.context.log.position();
    world.message(&other, "alice", "one").await;
    world.message(&room, "alice", "two").await;
    let _bell = inboxes.bell("bob");
    assert_eq!(inboxes.known("bob", start), None);
    assert_eq!(inboxes.changes("bob", start).unwrap(), some(&[&room], false));
    assert_eq!(inboxes.known("bob", start), Some(some(&[&room], false)));
}

#[tokio::test]
async fn what_an_inbox_took_before_it_was_complete_hides_nothing() {
    let Case { world, inboxes, room, other } = case().await;
    let quiet = world.room("alice", "shared").await;
    // His first sync asks for no changes, it only takes the bell; then he joins rooms.
    let _bell = inboxes.bell("bob");
    world.member(&other, "bob", "join").await;
    world.member(&quiet, "bob", "join").await;
    let start = world.context.log.position();
    world.message(&other, "alice", "one").await;
    world.message(&room, "alice", "two").await;
    let Changes::Some { mut rooms, .. } = inboxes.changes("bob", start).unwrap() else {
        panic!("few changes are told one by one");
    };
    rooms.sort();
    assert_eq!(rooms, [room.number, other.number]);
}

#[tokio::test]
async fn a_room_that_is_joined_later_is_followed_too() {
    let Case { world, inboxes, room: _, other } = case().await;
    let _bell = inboxes.bell("bob");
    let start = world.context.log.position();
    assert_eq!(inboxes.changes("bob", start).unwrap(), some(&[], false));
    world.message(&other, "alice", "before bob").await;
    assert_eq!(inboxes.changes("bob", start).unwrap(), some(&[], false));
    world.member(&other, "bob", "join").await;
    let joined = world.context.log.position();
    assert_eq!(inboxes.changes("bob", start).unwrap(), some(&[&other], false));
    world.message(&other, "alice", "for bob").await;
    assert_eq!(inboxes.changes("bob", joined).unwrap(), some(&[&other], false));
}

#[tokio::test]
async fn a_bell_that_was_taken_before_a_change_rings_for_it() {
    let Case { world, inboxes, room, other } = case().await;
    let mut bell = inboxes.bell("bob");
    let position = world.context.log.position();
    inboxes.changes("bob", position).unwrap();
    world.message(&other, "alice", "not for bob").await;
    assert!(!bell.has_changed().unwrap());
    world.message(&room, "alice", "for bob").await;
    bell.changed().await.unwrap();
    let rung = *bell.borrow_and_update();
    inboxes.published(rung).await;
    assert_eq!(inboxes.changes("bob", rung - 1).unwrap(), some(&[&room], false));
}

#[tokio::test]
async fn a_bell_rings_for_what_happened_while_the_inbox_was_made() {
    let Case { world, inboxes, room, .. } = case().await;
    let mut bell = inboxes.bell("bob");
    let position = world.context.log.position();
    // His sync has read the position, and not yet put him on the lists of his rooms.
    world.message(&room, "alice", "for bob").await;
    inboxes.changes("bob", position).unwrap();
    assert!(bell.has_changed().unwrap());
    inboxes.published(*bell.borrow_and_update()).await;
    assert_eq!(inboxes.changes("bob", position).unwrap(), some(&[&room], false));
    assert!(!bell.has_changed().unwrap());
}

#[tokio::test]
async fn what_happens_outside_of_rooms_is_told_as_such() {
    let Case { world, inboxes, .. } = case().await;
    let mut bell = inboxes.bell("bob");
    let start = world.context.log.position();
    inboxes.changes("bob", start).unwrap();
    for (entry, outside) in [
        (Change::ToDevice { user: "alice".to_owned(), device: "PHONE".to_owned() }, false),
        (Change::Nothing, false),
        (Change::AccountData { user: "bob".to_owned(), room: None }, true),
    ] {
        let batch = world.context.batch();
        world.context.log.commit(batch, vec![entry]).await.unwrap();
        assert_eq!(inboxes.changes("bob", start).unwrap(), some(&[], outside));
        assert_eq!(bell.has_changed().unwrap(), outside);
        bell.mark_unchanged();
    }
}

#[tokio::test]
async fn the_inbox_of_an_idle_user_is_let_go() {
    let Case { world, inboxes, .. } = case().await;
    let bell = inboxes.bell("bob");
    inboxes.changes("bob", 0).unwrap();
    let idle = Duration::from_millis(IDLE_MS_MAX + SWEEP_MS);
    world.clock.advance(idle);
    let _alice = inboxes.bell("alice");
    assert_eq!(inboxes.held(), 2, "somebody waits at bob's inbox");
    drop(bell);
    world.clock.advance(idle);
    let _alice = inboxes.bell("alice");
    assert_eq!(inboxes.held(), 1);
}

#[tokio::test]
async fn an_inbox_stays_small_in_a_busy_room() {
    let Case { world, inboxes, room, .. } = case().await;
    let _bell = inboxes.bell("bob");
    let start = world.context.log.position();
    inboxes.changes("bob", start).unwrap();
    for _ in 0..500 {
        world.message(&room, "alice", "again").await;
    }
    let held = inboxes.held.lock();
    assert!(held.users["bob"].changes.len() <= CHANGES_SPARE + 2);
    drop(held);
    assert_eq!(inboxes.changes("bob", start).unwrap(), some(&[&room], false));
}

use std::collections::BTreeMap;

use model::{EventNumber, room_version::RoomVersion, state_tree::Entry};
use ruma::RoomId;
use serde_json::json;

use super::*;
use crate::rooms::{
    create::{Preset, raw},
    send::NewEvent,
    tests::{World, alice, message, new_room, world},
};

/// A room whose topic changed so often, and states that nothing refers to.
async fn room_with_waste(world: &World) -> (Arc<Room>, usize) {
    let new = new_room(RoomVersion::V12, Preset::PublicChat);
    let room_id = world.rooms.create(new).await.unwrap();
    let room = world.rooms.get(&room_id).await.unwrap();
    for number in 0..GROWTH_MIN {
        set_topic(world, &room, number).await;
    }
    let context = world.rooms.context();
    let tree = StateTree::new(context.state_salt);
    let entries = (0..100_u64).map(|number| {
        let entry = Entry { event: EventNumber(number), membership: None };
        ("org.example.row".to_owned(), number.to_string(), entry)
    });
    let (_, nodes) = tree.build(entries);
    let mut batch = context.batch();
    let mut waste = 0;
    for (id, node) in nodes {
        state::put_node(&mut batch, room.number, &id, node);
        waste += 1;
    }
    context.log.commit(batch, vec![Change::Nothing]).await.unwrap();
    (room, waste)
}

async fn set_topic(world: &World, room: &Arc<Room>, number: u64) {
    let event = NewEvent {
        event_type: "m.room.topic".to_owned(),
        state_key: Some(String::new()),
        content: raw(&json!({ "topic": number.to_string() })),
        ..message(&alice(), "", None)
    };
    world.rooms.send(&room.id, event).await.unwrap();
}

/// How many entries the state after each event has: reads every node that is in use.
async fn states(world: &World, room: &Room) -> BTreeMap<u64, usize> {
    let read = world.rooms.read(room.number, |rows| {
        let mut roots = Vec::new();
        events::each(rows.snapshot, rows.room, |event| {
            roots.push((event.number.0, event.record.state_after.unwrap()));
            Ok(())
        })?;
        let tree = StateTree::new(rows.salt);
        let count = |(number, root)| Ok((number, tree.entries(&rows, root).count()));
        roots.into_iter().map(count).collect()
    });
    read.await.unwrap()
}

async fn due(world: &World, room: &RoomId) -> bool {
    world.rooms.to_collect().await.unwrap().iter().any(|due| due == room)
}

#[tokio::test]
async fn nodes_that_no_state_has_are_removed_and_all_others_stay() {
    let world = world();
    let (room, waste) = room_with_waste(&world).await;
    let before = states(&world, &room).await;
    assert!(waste > 1 && due(&world, &room.id).await);
    assert_eq!(world.rooms.collect(&room).await.unwrap(), Collection::Removed(waste));
    assert_eq!(states(&world, &room).await, before);
    assert_eq!(world.rooms.collect(&room).await.unwrap(), Collection::Removed(0));
    assert!(!due(&world, &room.id).await, "it has not grown since");
    set_topic(&world, &room, 0).await;
}

#[tokio::test]
async fn nothing_is_removed_from_a_room_that_was_written_meanwhile() {
    let world = world();
    let (room, _) = room_with_waste(&world).await;
    let rooms = &world.rooms;
    let (submitted, ()) = rooms.settled(&room, |_| Ok(())).await.unwrap();
    set_topic(&world, &room, 1).await;
    let batch = rooms.context().batch();
    let committed = rooms.commit_settled(&room, submitted, (batch, vec![Change::Nothing])).await;
    assert!(!committed.unwrap());
}

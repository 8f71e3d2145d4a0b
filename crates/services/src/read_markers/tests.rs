//! Markers that move together, and never back.

use ruma::{OwnedEventId, UserId};
use serde_json::json;

use super::{KIND, Markers, ReadMarkers};
use crate::{
    receipts::{ReceiptError, changed_since},
    testing::{World, bare_room::BareRoom},
};

const ALICE: &str = "@alice:acme.example";

async fn scene() -> (World, BareRoom, ReadMarkers) {
    let world = World::new();
    let room = BareRoom::new(&world.services.context).await;
    room.join(ALICE).await;
    let markers = ReadMarkers::new(world.services.context.clone());
    (world, room, markers)
}

fn fully_read(room: &BareRoom) -> Option<serde_json::Value> {
    let snapshot = room.context.store.snapshot();
    let item = store::account_data::get(&snapshot, "alice", Some(room.number), KIND).unwrap();
    item.map(|item| serde_json::from_slice(&item.content).unwrap())
}

fn alice() -> &'static UserId {
    ALICE.try_into().unwrap()
}

#[tokio::test]
async fn markers_move_together_in_one_commit() {
    let (_world, room, markers) = scene().await;
    let event = room.say(ALICE, "one").await;
    let all = Markers {
        fully_read: Some(event.clone()),
        read: Some(event.clone()),
        read_private: Some(event.clone()),
    };
    let before = room.context.log.position();
    markers.set(alice(), &room.id, all).await.unwrap();
    assert_eq!(room.context.log.position(), before + 1);
    assert_eq!(fully_read(&room), Some(json!({ "event_id": event })));
    let snapshot = room.context.store.snapshot();
    assert_eq!(changed_since(&snapshot, room.number, alice(), None).unwrap().len(), 2);
}

#[tokio::test]
async fn a_marker_never_moves_back_and_stays_in_its_room() {
    let (_world, room, markers) = scene().await;
    let first = room.say(ALICE, "one").await;
    let second = room.say(ALICE, "two").await;
    let mark = async |event: &OwnedEventId| {
        let markers_wanted = Markers { fully_read: Some(event.clone()), ..Markers::default() };
        markers.set(alice(), &room.id, markers_wanted).await
    };
    mark(&second).await.unwrap();
    mark(&first).await.unwrap();
    assert_eq!(fully_read(&room), Some(json!({ "event_id": second })));
    let other = BareRoom::numbered(&room.context, 2).await;
    let elsewhere = other.say(ALICE, "elsewhere").await;
    assert!(matches!(mark(&elsewhere).await, Err(ReceiptError::UnknownEvent)));
}

#[tokio::test]
async fn nothing_moves_if_one_marker_cannot() {
    let (_world, room, markers) = scene().await;
    let event = room.say(ALICE, "one").await;
    let unknown = OwnedEventId::try_from("$unknown").unwrap();
    let some = Markers { fully_read: Some(unknown), read: Some(event), read_private: None };
    let result = markers.set(alice(), &room.id, some).await;
    assert!(matches!(result, Err(ReceiptError::UnknownEvent)));
    let snapshot = room.context.store.snapshot();
    assert!(changed_since(&snapshot, room.number, alice(), None).unwrap().is_empty());
}

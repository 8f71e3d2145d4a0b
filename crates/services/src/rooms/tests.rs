mod federated;
pub(super) mod network;

use std::sync::Arc;

use kv::{HomeserverId, MemoryEngine, Store};
use model::{
    clock::ManualClock, ids::SeededIds, room_version::RoomVersion, signing_key::SigningKey,
};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde_json::{Map, json};
use store::transactions::Transaction;

use super::{
    Rooms, WriteError,
    create::{NewRoom, Preset, raw},
    membership::NewMembership,
    send::NewEvent,
};
use crate::{Context, identity::CurrentKey, log::Log, recent::RecentEvents, turns::Writers};

pub(super) struct World {
    pub rooms: Rooms,
    engine: MemoryEngine,
}

pub(super) fn world() -> World {
    let engine = MemoryEngine::new(store::TABLES);
    let store = Store::new(Arc::new(engine.clone()), HomeserverId(1));
    let log = Arc::new(Log::open(store.clone()).unwrap());
    let context = Context {
        server_name: "acme.example".try_into().unwrap(),
        signing_key: CurrentKey::new(SigningKey::generate([1; 32]).unwrap()),
        state_salt: [2; 16],
        turns: Writers::default().turns(store.homeserver()),
        recent: RecentEvents::following(&log),
        log,
        store,
        clock: Arc::new(ManualClock::default()),
        ids: Arc::new(SeededIds::new(7)),
    };
    World { rooms: Rooms::new(context), engine }
}

pub(super) fn alice() -> OwnedUserId {
    "@alice:acme.example".try_into().unwrap()
}

fn bob() -> OwnedUserId {
    "@bob:acme.example".try_into().unwrap()
}

pub(super) fn new_room(version: RoomVersion, preset: Preset) -> NewRoom {
    NewRoom {
        name: Some("Ledger".to_owned()),
        topic: Some("Trade".to_owned()),
        ..NewRoom::new(alice(), version, preset)
    }
}

pub(super) fn message(sender: &OwnedUserId, body: &str, transaction: Option<&str>) -> NewEvent {
    NewEvent {
        sender: sender.clone(),
        event_type: "m.room.message".to_owned(),
        state_key: None,
        content: raw(&json!({ "msgtype": "m.text", "body": body })),
        redacts: None,
        timestamp_ms: None,
        transaction: transaction.map(|id| Transaction {
            localpart: sender.localpart().to_owned(),
            device_id: "D".to_owned(),
            path: "send".to_owned(),
            id: id.to_owned(),
        }),
    }
}

impl World {
    async fn room(&self, preset: Preset) -> OwnedRoomId {
        self.rooms.create(new_room(RoomVersion::V12, preset)).await.unwrap()
    }

    async fn set(
        &self,
        room: &OwnedRoomId,
        sender: OwnedUserId,
        target: OwnedUserId,
        to: MembershipState,
    ) -> Result<(), WriteError> {
        let room = self.rooms.get(room).await.unwrap();
        let new = NewMembership { sender, target, membership: to, content: Map::new() };
        self.rooms.change_membership(&room, new).await.map(drop)
    }

    /// Bodies of the room's messages, in the order of the timeline.
    async fn bodies(&self, room: &OwnedRoomId) -> Vec<String> {
        let room = self.rooms.get(room).await.unwrap();
        let all = (store::events::Order::MIN, store::events::Order::MAX);
        let events = self.rooms.read(room.number, move |rows| {
            let timeline = store::events::timeline(rows.snapshot, rows.room, all, false, 1000)?;
            rows.events(&timeline.into_iter().map(|(_, number)| number).collect::<Vec<_>>())
        });
        let body = |pdu: &model::pdu::Pdu| {
            let content: serde_json::Value = pdu.content_as()?;
            Some(content.get("body")?.as_str()?.to_owned())
        };
        events.await.unwrap().iter().filter_map(|event| body(&event.pdu)).collect()
    }
}

#[tokio::test]
async fn a_room_of_every_version_can_be_created_and_written_to() {
    use RoomVersion::{V6, V7, V8, V9, V10, V11, V12};
    let world = world();
    for version in [V6, V7, V8, V9, V10, V11, V12] {
        let room = world.rooms.create(new_room(version, Preset::PublicChat)).await.unwrap();
        world.rooms.send(&room, message(&alice(), "hello", None)).await.unwrap();
        world.set(&room, bob(), bob(), MembershipState::Join).await.unwrap();
        world.rooms.send(&room, message(&bob(), "hi", None)).await.unwrap();
        assert_eq!(world.bodies(&room).await, ["hello", "hi"], "in version {version:?}");
    }
}

#[tokio::test]
async fn a_room_survives_being_put_out_of_memory() {
    let world = world();
    let room = world.room(Preset::PublicChat).await;
    world.rooms.send(&room, message(&alice(), "before", None)).await.unwrap();
    let again = Rooms::new(world.rooms.context().clone());
    again.send(&room, message(&alice(), "after", None)).await.unwrap();
    assert_eq!(world.bodies(&room).await, ["before", "after"]);
}

#[tokio::test]
async fn a_transaction_that_is_repeated_sends_one_event() {
    let world = world();
    let room = world.room(Preset::PrivateChat).await;
    let first = world.rooms.send(&room, message(&alice(), "once", Some("t1"))).await.unwrap();
    let again = world.rooms.send(&room, message(&alice(), "once", Some("t1"))).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(world.bodies(&room).await, ["once"]);
}

#[tokio::test]
async fn the_same_transaction_sent_many_times_at_once_sends_one_event() {
    let world = world();
    let room = world.room(Preset::PrivateChat).await;
    let (user, other) = (alice(), alice());
    let same = (0..20).map(|_| world.rooms.send(&room, message(&user, "once", Some("t1"))));
    let others: Vec<_> = (0..20).map(|n| format!("other {n}")).collect();
    let between =
        others.iter().map(|body| world.rooms.send(&room, message(&other, body, Some(body))));
    let (same, between) = futures_util::join!(
        futures_util::future::try_join_all(same),
        futures_util::future::try_join_all(between)
    );
    let mut same = same.unwrap();
    same.dedup();
    assert_eq!(same.len(), 1);
    assert_eq!(between.unwrap().len(), 20);
    assert_eq!(world.bodies(&room).await.len(), 21);
}

#[tokio::test]
async fn who_is_not_in_the_room_may_not_send() {
    let world = world();
    let room = world.room(Preset::PublicChat).await;
    let refused = world.rooms.send(&room, message(&bob(), "hi", None)).await;
    assert!(matches!(refused, Err(WriteError::NotJoined)), "{refused:?}");
}

#[tokio::test]
async fn a_banned_user_cannot_rejoin() {
    let world = world();
    let room = world.room(Preset::PublicChat).await;
    world.set(&room, bob(), bob(), MembershipState::Join).await.unwrap();
    world.set(&room, alice(), bob(), MembershipState::Ban).await.unwrap();
    let refused = world.set(&room, bob(), bob(), MembershipState::Join).await;
    assert!(matches!(refused, Err(WriteError::Forbidden(_))), "{refused:?}");
    world.set(&room, alice(), bob(), MembershipState::Leave).await.unwrap();
    world.set(&room, bob(), bob(), MembershipState::Join).await.unwrap();
}

#[tokio::test]
async fn a_private_room_is_entered_by_invitation_only() {
    let world = world();
    let room = world.room(Preset::PrivateChat).await;
    let refused = world.set(&room, bob(), bob(), MembershipState::Join).await;
    assert!(matches!(refused, Err(WriteError::Forbidden(_))), "{refused:?}");
    world.set(&room, alice(), bob(), MembershipState::Invite).await.unwrap();
    world.set(&room, bob(), bob(), MembershipState::Join).await.unwrap();
}

#[tokio::test]
async fn a_redaction_empties_its_target() {
    let world = world();
    let room = world.room(Preset::PublicChat).await;
    let target = world.rooms.send(&room, message(&alice(), "secret", None)).await.unwrap();
    let redaction = NewEvent {
        event_type: "m.room.redaction".to_owned(),
        content: raw(&json!({})),
        redacts: Some(target),
        ..message(&alice(), "", None)
    };
    world.rooms.send(&room, redaction).await.unwrap();
    assert_eq!(world.bodies(&room).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_commit_that_fails_is_not_built_upon() {
    let world = world();
    let room = world.room(Preset::PublicChat).await;
    world.engine.fail_next(kv::Failure::Unavailable);
    let failed = world.rooms.send(&room, message(&alice(), "lost", None)).await;
    assert!(matches!(failed, Err(WriteError::Commit(_))), "{failed:?}");
    world.rooms.send(&room, message(&alice(), "kept", None)).await.unwrap();
    assert_eq!(world.bodies(&room).await, ["kept"]);
}

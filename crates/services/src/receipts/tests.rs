//! Receipts that move forward, in their threads, and who sees them.

use ruma::{EventId, UserId};
use serde_json::json;

use super::{Kind, ReceiptError, Receipts, RemoteReceipt, Thread, changed_since, content};
use crate::testing::{World, bare_room::BareRoom};

const ALICE: &str = "@alice:acme.example";
const CAROL: &str = "@carol:acme.example";
const BOB: &str = "@bob:other.example";

struct Scene {
    _world: World,
    room: BareRoom,
    receipts: Receipts,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new();
        let room = BareRoom::new(&world.services.context).await;
        for user in [ALICE, CAROL, BOB] {
            room.join(user).await;
        }
        let receipts = Receipts::new(world.services.context.clone());
        Self { _world: world, room, receipts }
    }

    async fn read(
        &self,
        user: &str,
        kind: Kind,
        thread: Thread,
        event: &EventId,
    ) -> Result<(), ReceiptError> {
        let user = user.try_into().unwrap();
        self.receipts.set(user, &self.room.id, (kind, thread), event).await
    }

    /// What the viewer is told after `since`: (user, event, thread).
    fn told(&self, viewer: &str, since: Option<u64>) -> Vec<(String, String, Thread)> {
        let snapshot = self.room.context.store.snapshot();
        let viewer = <&UserId>::try_from(viewer).unwrap();
        let told = changed_since(&snapshot, self.room.number, viewer, since).unwrap();
        let short = |receipt: super::Receipt| {
            let owner = receipt.owner;
            (owner.user.localpart().to_owned(), receipt.event_id.to_string(), owner.thread)
        };
        let mut told: Vec<_> = told.into_iter().map(short).collect();
        told.sort();
        told
    }

    fn position(&self) -> u64 {
        self.room.context.log.position()
    }
}

#[tokio::test]
async fn a_receipt_moves_forward_and_never_back() {
    let scene = Scene::new().await;
    let first = scene.room.say(BOB, "one").await;
    let second = scene.room.say(BOB, "two").await;
    let start = scene.position();
    scene.read(ALICE, Kind::Public, Thread::Unthreaded, &first).await.unwrap();
    let between = scene.position();
    scene.read(ALICE, Kind::Public, Thread::Unthreaded, &second).await.unwrap();
    let second_read = vec![("alice".to_owned(), second.to_string(), Thread::Unthreaded)];
    assert_eq!(scene.told(CAROL, Some(start)), second_read);
    assert_eq!(scene.told(CAROL, Some(between)), second_read);
    let after = scene.position();
    assert!(scene.told(CAROL, Some(after)).is_empty());
    scene.read(ALICE, Kind::Public, Thread::Unthreaded, &first).await.unwrap();
    scene.read(ALICE, Kind::Public, Thread::Unthreaded, &second).await.unwrap();
    assert_eq!(scene.position(), after, "a move back or nowhere is no change");
    assert_eq!(scene.told(CAROL, None), second_read);
}

#[tokio::test]
async fn a_private_receipt_is_seen_by_its_owner_only() {
    let scene = Scene::new().await;
    let event = scene.room.say(BOB, "one").await;
    scene.read(ALICE, Kind::Private, Thread::Unthreaded, &event).await.unwrap();
    assert!(scene.told(CAROL, None).is_empty());
    assert_eq!(scene.told(ALICE, None).len(), 1);
}

#[tokio::test]
async fn each_thread_has_a_receipt_of_its_own() {
    let scene = Scene::new().await;
    let root = scene.room.say(BOB, "root").await;
    let reply = scene.room.say_in_thread(BOB, &root, "reply").await;
    let other = scene.room.say(BOB, "other").await;
    let relates_to = json!({ "rel_type": "m.annotation", "event_id": reply, "key": "+" });
    let reaction = json!({ "m.relates_to": relates_to });
    let reaction = scene.room.send(BOB, "m.reaction", reaction).await;
    let thread = || Thread::Root(root.clone());
    let read = async |thread, event| scene.read(ALICE, Kind::Public, thread, event).await;
    for event in [&root, &reply, &reaction] {
        read(thread(), event).await.unwrap();
    }
    for event in [&root, &other] {
        read(Thread::Main, event).await.unwrap();
    }
    for (thread, event) in [(thread(), &other), (Thread::Main, &reply), (Thread::Main, &reaction)] {
        let result = read(thread, event).await;
        assert!(matches!(result, Err(ReceiptError::NotInThread)));
    }
    assert_eq!(scene.told(CAROL, None).len(), 2);
}

#[tokio::test]
async fn receipts_are_for_members_and_for_events_of_the_room() {
    let scene = Scene::new().await;
    let event = scene.room.say(BOB, "one").await;
    let unknown = <&EventId>::try_from("$unknown").unwrap();
    let result = scene.read(ALICE, Kind::Public, Thread::Unthreaded, unknown).await;
    assert!(matches!(result, Err(ReceiptError::UnknownEvent)));
    scene.room.leave(ALICE).await;
    let result = scene.read(ALICE, Kind::Public, Thread::Unthreaded, &event).await;
    assert!(matches!(result, Err(ReceiptError::NotJoined)));
}

#[tokio::test]
async fn another_server_speaks_for_its_own_members_only() {
    let scene = Scene::new().await;
    let event = scene.room.say(ALICE, "one").await;
    let tell = async |user: &str, event: &EventId| {
        let told = RemoteReceipt {
            user: user.try_into().unwrap(),
            thread: Thread::Unthreaded,
            event_id: event.to_owned(),
            ts_ms: 5,
        };
        let origin = "other.example".try_into().unwrap();
        scene.receipts.set_remote(origin, &scene.room.id, vec![told]).await.unwrap();
    };
    for foreign in [ALICE, "@dave:other.example", "@eve:third.example"] {
        tell(foreign, &event).await;
        assert!(scene.told(ALICE, None).is_empty(), "{foreign}");
    }
    tell(BOB, &event).await;
    assert_eq!(scene.told(ALICE, None).len(), 1);
    // A receipt may come before its event.
    let early = <&EventId>::try_from("$early").unwrap();
    tell(BOB, early).await;
    assert_eq!(scene.told(ALICE, None)[0].1, "$early");
}

#[tokio::test]
async fn two_moves_at_once_leave_one_row_in_the_stream() {
    let scene = Scene::new().await;
    let mut events = Vec::new();
    for index in 0..5 {
        events.push(scene.room.say(BOB, &index.to_string()).await);
    }
    let moves =
        events.iter().map(|event| scene.read(ALICE, Kind::Public, Thread::Unthreaded, event));
    for result in futures_util::future::join_all(moves).await {
        // Too many at once may be too much; what is written must be consistent.
        let _ = result;
    }
    assert_eq!(scene.told(CAROL, None).len(), 1);
}

#[tokio::test]
async fn a_receipt_is_told_as_the_specification_says() {
    let scene = Scene::new().await;
    let event = scene.room.say(BOB, "one").await;
    scene.read(ALICE, Kind::Public, Thread::Main, &event).await.unwrap();
    scene.read(ALICE, Kind::Public, Thread::Unthreaded, &event).await.unwrap();
    scene.read(CAROL, Kind::Public, Thread::Main, &event).await.unwrap();
    let snapshot = scene.room.context.store.snapshot();
    let alice = <&UserId>::try_from(ALICE).unwrap();
    let told = changed_since(&snapshot, scene.room.number, alice, None).unwrap();
    let ts = 1_767_225_600_000_u64;
    let expected = json!({
        event.as_str(): { "m.read": {
            ALICE: { "ts": ts },
            CAROL: { "ts": ts, "thread_id": "main" },
        } },
    });
    assert_eq!(serde_json::to_value(content(&told)).unwrap(), expected);
}

//! What is unread after which events, receipts and rules.

use ruma::{OwnedEventId, UserId};
use serde_json::{Value, json};
use store::log::Change;

use super::{COSTLY_EVENTS, Count, Counts, Unread};
use crate::{
    receipts::{Kind, Receipts, Thread},
    testing::{World, bare_room::BareRoom},
};

const ALICE: &str = "@alice:acme.example";
const BOB: &str = "@bob:acme.example";
const CAROL: &str = "@carol:other.example";

struct Scene {
    _world: World,
    room: BareRoom,
    unread: Unread,
}

impl Scene {
    /// A room of three, so that it is no conversation of two.
    async fn new() -> Self {
        let world = World::new();
        let room = BareRoom::new(&world.services.context).await;
        for user in [ALICE, BOB, CAROL] {
            room.join(user).await;
        }
        let unread = Unread::new(world.services.context.clone());
        Self { _world: world, room, unread }
    }

    fn counts(&self, user: &str) -> Counts {
        let snapshot = self.room.context.store.snapshot();
        let user = <&UserId>::try_from(user).unwrap();
        let counts = self.unread.counts(&snapshot, self.room.number, user).unwrap();
        // Counting step by step gives what counting at once gives.
        let afresh = Unread::new(self.room.context.clone());
        assert_eq!(counts, afresh.counts(&snapshot, self.room.number, user).unwrap());
        counts
    }

    /// (notifications, highlights) of the main timeline.
    fn main(&self, user: &str) -> (u64, u64) {
        let Count { notifications, highlights } = self.counts(user).main;
        (notifications, highlights)
    }

    fn thread(&self, user: &str, root: &OwnedEventId) -> u64 {
        self.counts(user).threads.get(root).map_or(0, |count| count.notifications)
    }

    async fn read(&self, user: &str, thread: Thread, event: &OwnedEventId) {
        let receipts = Receipts::new(self.room.context.clone());
        let user = user.try_into().unwrap();
        receipts.set(user, &self.room.id, (Kind::Public, thread), event).await.unwrap();
    }

    async fn set_account_data(&self, kind: &str, content: Value) {
        let snapshot = self.room.context.store.snapshot();
        let before = store::account_data::get(&snapshot, "alice", None, kind).unwrap();
        let mut batch = self.room.context.batch();
        let content = content.to_string().into_bytes();
        store::account_data::put(&mut batch, "alice", (None, kind), &content, before.as_ref());
        let changes = vec![Change::AccountData { user: "alice".to_owned(), room: None }];
        self.room.context.log.commit(batch, changes).await.unwrap();
    }

    async fn mention(&self, sender: &str, mentions: Value) -> OwnedEventId {
        let content = json!({ "msgtype": "m.text", "body": "hey", "m.mentions": mentions });
        self.room.send(sender, "m.room.message", content).await
    }
}

#[tokio::test]
async fn messages_of_others_are_counted_and_ones_own_are_not() {
    let scene = Scene::new().await;
    assert_eq!(scene.main(ALICE), (0, 0));
    scene.room.say(BOB, "one").await;
    assert_eq!((scene.main(ALICE), scene.main(BOB)), ((1, 0), (0, 0)));
    scene.room.say(CAROL, "two").await;
    assert_eq!((scene.main(ALICE), scene.main(BOB)), ((2, 0), (1, 0)));
}

#[tokio::test]
async fn what_was_said_before_one_joined_is_not_unread() {
    let scene = Scene::new().await;
    scene.room.say(BOB, "one").await;
    scene.room.join("@dave:acme.example").await;
    assert_eq!(scene.main("@dave:acme.example"), (0, 0));
    scene.room.say(BOB, "two").await;
    assert_eq!(scene.main("@dave:acme.example"), (1, 0));
}

#[tokio::test]
async fn a_receipt_resets_what_it_covers() {
    let scene = Scene::new().await;
    scene.room.say(BOB, "one").await;
    let second = scene.room.say(BOB, "two").await;
    let third = scene.room.say(BOB, "three").await;
    assert_eq!(scene.main(ALICE), (3, 0));
    scene.read(ALICE, Thread::Unthreaded, &second).await;
    assert_eq!(scene.main(ALICE), (1, 0));
    scene.read(ALICE, Thread::Unthreaded, &third).await;
    assert_eq!(scene.main(ALICE), (0, 0));
    scene.room.say(BOB, "four").await;
    assert_eq!(scene.main(ALICE), (1, 0));
}

#[tokio::test]
async fn who_writes_has_read() {
    let scene = Scene::new().await;
    scene.room.say(BOB, "one").await;
    assert_eq!(scene.main(ALICE), (1, 0));
    scene.room.say(ALICE, "two").await;
    assert_eq!(scene.main(ALICE), (0, 0));
    scene.room.say(BOB, "three").await;
    assert_eq!(scene.main(ALICE), (1, 0));
}

#[tokio::test]
async fn threads_are_counted_and_read_apart() {
    let scene = Scene::new().await;
    let root = scene.room.say(BOB, "root").await;
    let reply = scene.room.say_in_thread(BOB, &root, "one").await;
    scene.room.say_in_thread(CAROL, &root, "two").await;
    let last = scene.room.say(BOB, "main").await;
    assert_eq!((scene.main(ALICE), scene.thread(ALICE, &root)), ((2, 0), 2));
    assert_eq!(scene.counts(ALICE).total().notifications, 4);
    scene.read(ALICE, Thread::Main, &last).await;
    assert_eq!((scene.main(ALICE), scene.thread(ALICE, &root)), ((0, 0), 2));
    scene.read(ALICE, Thread::Root(root.clone()), &reply).await;
    assert_eq!((scene.main(ALICE), scene.thread(ALICE, &root)), ((0, 0), 1));
    let newest = scene.room.say_in_thread(BOB, &root, "three").await;
    assert_eq!(scene.thread(ALICE, &root), 2);
    scene.read(ALICE, Thread::Unthreaded, &newest).await;
    assert_eq!(scene.counts(ALICE), Counts::default());
    // Writing in a thread reads that thread only.
    scene.room.say(BOB, "main again").await;
    scene.room.say_in_thread(BOB, &root, "four").await;
    scene.room.say_in_thread(ALICE, &root, "five").await;
    assert_eq!((scene.main(ALICE), scene.thread(ALICE, &root)), ((1, 0), 0));
}

#[tokio::test]
async fn a_mention_stands_out() {
    let scene = Scene::new().await;
    scene.mention(BOB, json!({ "user_ids": [ALICE] })).await;
    assert_eq!((scene.main(ALICE), scene.main(CAROL)), ((1, 1), (1, 0)));
}

#[tokio::test]
async fn mentioning_the_room_takes_power() {
    let scene = Scene::new().await;
    let create = json!({ "room_version": "11" });
    scene.room.put(BOB, "m.room.create", "", create).await;
    let levels = json!({ "users": { BOB: 50 } });
    scene.room.put(BOB, "m.room.power_levels", "", levels).await;
    scene.mention(CAROL, json!({ "room": true })).await;
    assert_eq!(scene.main(ALICE), (1, 0));
    scene.mention(BOB, json!({ "room": true })).await;
    assert_eq!(scene.main(ALICE), (2, 1));
}

#[tokio::test]
async fn noise_is_not_counted() {
    let scene = Scene::new().await;
    let said = scene.room.say(BOB, "one").await;
    assert_eq!(scene.main(ALICE), (1, 0));
    let notice = json!({ "msgtype": "m.notice", "body": "beep" });
    scene.room.send(BOB, "m.room.message", notice).await;
    let annotates = json!({ "rel_type": "m.annotation", "event_id": said, "key": "+" });
    scene.room.send(BOB, "m.reaction", json!({ "m.relates_to": annotates })).await;
    let edit = json!({
        "msgtype": "m.text", "body": "* two",
        "m.new_content": { "msgtype": "m.text", "body": "two" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": said },
    });
    scene.room.send(BOB, "m.room.message", edit).await;
    scene.room.put(BOB, "m.room.topic", "", json!({ "topic": "beer" })).await;
    scene.room.join("@dave:other.example").await;
    assert_eq!(scene.main(ALICE), (1, 0));
}

#[tokio::test]
async fn what_is_redacted_is_counted_no_more() {
    let scene = Scene::new().await;
    let said = scene.room.say(BOB, "one").await;
    scene.room.say(BOB, "two").await;
    assert_eq!(scene.main(ALICE), (2, 0));
    scene.room.redact(BOB, &said).await;
    assert_eq!(scene.main(ALICE), (1, 0));
}

#[tokio::test]
async fn users_own_rules_and_lists_count_at_once() {
    let scene = Scene::new().await;
    scene.room.say(BOB, "beer").await;
    scene.room.say(CAROL, "water").await;
    assert_eq!(scene.main(ALICE), (2, 0));
    let beer = json!({
        "rule_id": "beer", "pattern": "beer", "default": false, "enabled": true,
        "actions": ["notify", { "set_tweak": "highlight" }],
    });
    let rules = json!({ "global": { "content": [beer] } });
    scene.set_account_data("m.push_rules", rules).await;
    assert_eq!(scene.main(ALICE), (2, 1));
    let ignored = json!({ "ignored_users": { CAROL: {} } });
    scene.set_account_data("m.ignored_user_list", ignored).await;
    assert_eq!(scene.main(ALICE), (1, 1));
}

#[tokio::test]
async fn counting_costs_no_write_until_it_was_costly() {
    let scene = Scene::new().await;
    scene.room.say(BOB, "one").await;
    scene.counts(ALICE);
    let before = scene.room.context.log.position();
    scene.unread.persist().await.unwrap();
    assert_eq!(scene.room.context.log.position(), before);
    for index in 0..COSTLY_EVENTS {
        scene.room.say(BOB, &index.to_string()).await;
    }
    let counts = scene.counts(ALICE);
    assert_eq!(counts.main.notifications, COSTLY_EVENTS as u64 + 1);
    scene.unread.persist().await.unwrap();
    // After a restart the count goes on from the row.
    let restarted = Unread::new(scene.room.context.clone());
    let snapshot = scene.room.context.store.snapshot();
    let alice = <&UserId>::try_from(ALICE).unwrap();
    assert_eq!(restarted.counts(&snapshot, scene.room.number, alice).unwrap(), counts);
    let row = store::unread::checkpoint(&snapshot, "alice", scene.room.number).unwrap();
    assert_eq!(row.unwrap().counts["main"].notifications, COSTLY_EVENTS as u64 + 1);
}

#[tokio::test]
async fn notifications_are_listed_newest_first_across_rooms() {
    let scene = Scene::new().await;
    let other = BareRoom::numbered(&scene.room.context, 2).await;
    other.join(ALICE).await;
    other.join(BOB).await;
    let mut sent = Vec::new();
    for index in 0..5 {
        sent.push(scene.room.say(BOB, &format!("one {index}")).await);
        sent.push(other.say(BOB, &format!("two {index}")).await);
        scene.room.say(ALICE, "mine").await;
    }
    sent.push(scene.mention(BOB, json!({ "user_ids": [ALICE] })).await);
    scene.read(ALICE, Thread::Unthreaded, &sent[8]).await;
    sent.reverse();
    let page = async |before, limit, only_highlights| {
        let wanted = super::Wanted { before, limit, only_highlights };
        scene.unread.notifications(ALICE.try_into().unwrap(), wanted).await.unwrap()
    };
    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let page = page(before, 4, false).await;
        for notification in &page.list {
            let event: Value = serde_json::from_str(notification.event.get()).unwrap();
            listed.push(event["event_id"].as_str().unwrap().to_owned());
            let read = notification.room_id == scene.room.id && listed.len() > 1;
            assert_eq!(notification.read, read, "{event}");
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(listed, sent.iter().map(ToString::to_string).collect::<Vec<_>>());
    let highlights = page(None, 10, true).await;
    assert_eq!(highlights.list.len(), 1);
    assert!(highlights.next.is_none());
}

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::room_world::{Room, World, reader};

mod fold;

struct Case {
    world: World,
    syncs: Syncs,
    typing: Typing,
}

impl Case {
    fn new() -> Self {
        let world = World::new();
        let inboxes = Inboxes::open(&world.context);
        let typing = Typing::new(world.context.clone());
        let unread = Unread::new(world.context.clone());
        let presences = Presences::new(world.context.clone());
        let ephemeral = (typing.clone(), presences);
        let syncs = Syncs::new(world.context.clone(), inboxes, ephemeral, unread);
        Self { world, syncs, typing }
    }

    async fn sync(&self, user: &str, since: Option<&Value>, query: SyncQuery) -> Value {
        let since = since.map(|answer| answer["next_batch"].as_str().unwrap().to_owned());
        let query = Arc::new(SyncQuery { since, ..query });
        let (answer, _) = self.syncs.sync(reader(user), query, pending()).await.unwrap();
        serde_json::to_value(&answer).unwrap()
    }
}

fn filter(filter: Value) -> SyncQuery {
    SyncQuery { filter: Filter::parse(&filter.to_string()).unwrap(), ..SyncQuery::default() }
}

fn types(events: &Value) -> Vec<&str> {
    events["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect()
}

fn room_ids(section: &Value) -> BTreeSet<String> {
    section.as_object().unwrap().keys().cloned().collect()
}

fn ids(rooms: &[&Room]) -> BTreeSet<String> {
    rooms.iter().map(|room| room.id.to_string()).collect()
}

#[tokio::test]
async fn an_initial_sync_shows_the_rooms_of_the_user_and_no_others() {
    let case = Case::new();
    let mine = case.world.room("alice", "shared").await;
    case.world.room("bob", "shared").await;
    let invited = case.world.room("bob", "shared").await;
    case.world.member(&invited, "alice", "invite").await;
    let left = case.world.room("alice", "shared").await;
    case.world.member(&left, "alice", "leave").await;
    let answer = case.sync("alice", None, SyncQuery::default()).await;
    assert_eq!(room_ids(&answer["rooms"]["join"]), ids(&[&mine]));
    assert_eq!(room_ids(&answer["rooms"]["invite"]), ids(&[&invited]));
    assert_eq!(room_ids(&answer["rooms"]["leave"]), ids(&[]));
    let query = filter(json!({ "room": { "include_leave": true } }));
    let answer = case.sync("alice", None, query).await;
    assert_eq!(room_ids(&answer["rooms"]["leave"]), ids(&[&left]));
}

#[tokio::test]
async fn an_incremental_sync_shows_what_changed_and_nothing_else() {
    let case = Case::new();
    let quiet = case.world.room("alice", "shared").await;
    let loud = case.world.room("alice", "shared").await;
    let start = case.sync("alice", None, SyncQuery::default()).await;
    let nothing = case.sync("alice", Some(&start), SyncQuery::default()).await;
    assert_eq!(room_ids(&nothing["rooms"]["join"]), ids(&[]));
    case.world.message(&loud, "alice", "hello").await;
    let news = case.sync("alice", Some(&nothing), SyncQuery::default()).await;
    assert_eq!(room_ids(&news["rooms"]["join"]), ids(&[&loud]), "{quiet:?}", quiet = quiet.id);
    let room = &news["rooms"]["join"][loud.id.as_str()];
    assert_eq!(types(&room["timeline"]), ["m.room.message"]);
    assert_eq!(types(&room["state"]), [""; 0]);
    assert_eq!(room["timeline"]["limited"], false);
}

#[tokio::test]
async fn a_timeline_with_a_gap_says_so_and_its_state_bridges_it() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    let start = case.sync("alice", None, SyncQuery::default()).await;
    case.world.state(&room, "alice", "m.room.name", "", json!({ "name": "New" })).await;
    for number in 0..5 {
        case.world.message(&room, "alice", &number.to_string()).await;
    }
    let query = filter(json!({ "room": { "timeline": { "limit": 2 } } }));
    let answer = case.sync("alice", Some(&start), query).await;
    let room = &answer["rooms"]["join"][room.id.as_str()];
    assert_eq!(room["timeline"]["limited"], true);
    assert_eq!(types(&room["timeline"]).len(), 2);
    assert_eq!(types(&room["state"]), ["m.room.name"]);
}

#[tokio::test]
async fn the_state_before_a_timeline_is_as_it_was_before() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    case.world.state(&room, "alice", "m.room.name", "", json!({ "name": "Old" })).await;
    case.world.state(&room, "alice", "m.room.name", "", json!({ "name": "New" })).await;
    let query = filter(json!({ "room": { "timeline": { "limit": 1 } } }));
    let name_in = |events: &Value| {
        let events = events["events"].as_array().unwrap();
        let name = events.iter().find(|event| event["type"] == "m.room.name").unwrap();
        name["content"]["name"].as_str().unwrap().to_owned()
    };
    let answer = case.sync("alice", None, query.clone()).await;
    let before = &answer["rooms"]["join"][room.id.as_str()];
    assert_eq!(name_in(&before["state"]), "Old");
    assert!(before.get("state_after").is_none());
    let query = SyncQuery { use_state_after: true, ..query };
    let answer = case.sync("alice", None, query).await;
    let after = &answer["rooms"]["join"][room.id.as_str()];
    assert_eq!(name_in(&after["state_after"]), "New");
    assert!(after.get("state").is_none());
}

#[tokio::test]
async fn a_room_that_was_left_is_shown_up_to_the_leave_and_then_no_more() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    case.world.member(&room, "bob", "join").await;
    let start = case.sync("bob", None, SyncQuery::default()).await;
    case.world.message(&room, "alice", "bye").await;
    case.world.member(&room, "bob", "leave").await;
    case.world.message(&room, "alice", "without bob").await;
    let answer = case.sync("bob", Some(&start), SyncQuery::default()).await;
    let left = &answer["rooms"]["leave"][room.id.as_str()];
    assert_eq!(types(&left["timeline"]), ["m.room.message", "m.room.member"]);
    case.world.message(&room, "alice", "still without bob").await;
    let answer = case.sync("bob", Some(&answer), SyncQuery::default()).await;
    assert_eq!(room_ids(&answer["rooms"]["leave"]), ids(&[]));
}

#[tokio::test]
async fn a_room_that_is_joined_again_begins_anew() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    case.world.member(&room, "bob", "join").await;
    let start = case.sync("bob", None, SyncQuery::default()).await;
    case.world.member(&room, "bob", "leave").await;
    case.world.state(&room, "alice", "m.room.name", "", json!({ "name": "New" })).await;
    case.world.member(&room, "bob", "join").await;
    let query = filter(json!({ "room": { "timeline": { "limit": 1 } } }));
    let answer = case.sync("bob", Some(&start), query).await;
    let room = &answer["rooms"]["join"][room.id.as_str()];
    assert_eq!(room["timeline"]["limited"], true);
    let state: BTreeSet<&str> = types(&room["state"]).into_iter().collect();
    assert!(state.is_superset(&["m.room.create", "m.room.name", "m.room.member"].into()));
}

#[tokio::test]
async fn an_invitation_is_shown_once_with_what_tells_the_room() {
    let case = Case::new();
    let start = case.sync("bob", None, SyncQuery::default()).await;
    let room = case.world.room("alice", "shared").await;
    case.world.state(&room, "alice", "m.room.name", "", json!({ "name": "Office" })).await;
    let invite = json!({ "membership": "invite" });
    case.world.state(&room, "alice", "m.room.member", "@bob:acme.example", invite).await;
    let answer = case.sync("bob", Some(&start), SyncQuery::default()).await;
    let invited = &answer["rooms"]["invite"][room.id.as_str()]["invite_state"];
    let told: BTreeSet<&str> = types(invited).into_iter().collect();
    assert!(told.is_superset(&["m.room.create", "m.room.name", "m.room.member"].into()));
    assert!(invited["events"][0].get("event_id").is_none());
    case.world.message(&room, "alice", "secret").await;
    let answer = case.sync("bob", Some(&answer), SyncQuery::default()).await;
    assert_eq!(room_ids(&answer["rooms"]["invite"]), ids(&[]));
}

/// One message of a room with the members that one needs to show it.
fn lazily() -> SyncQuery {
    filter(json!({ "room": {
        "timeline": { "limit": 1 },
        "state": { "lazy_load_members": true },
    }}))
}

/// Localparts of the members that the answer tells as state of the room.
fn members(answer: &Value, room: &Room) -> BTreeSet<String> {
    let state = answer["rooms"]["join"][room.id.as_str()]["state"]["events"].as_array();
    let members = state.unwrap().iter().filter(|event| event["type"] == "m.room.member");
    let user =
        |event: &Value| ruma::OwnedUserId::try_from(event["state_key"].as_str().unwrap()).unwrap();
    members.map(|event| user(event).localpart().to_owned()).collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// Alice made the room, in which are bob, carol and dave. Its name keeps the summary from naming
/// them.
async fn office(case: &Case) -> Room {
    let room = case.world.room("alice", "shared").await;
    for user in ["bob", "carol", "dave"] {
        case.world.member(&room, user, "join").await;
    }
    case.world.state(&room, "alice", "m.room.name", "", json!({ "name": "Office" })).await;
    room
}

#[tokio::test]
async fn members_are_loaded_lazily_and_not_twice() {
    let case = Case::new();
    let room = office(&case).await;
    case.world.message(&room, "bob", "hello").await;
    let first = case.sync("alice", None, lazily()).await;
    assert_eq!(members(&first, &room), names(["alice", "bob"]));
    case.world.message(&room, "bob", "again").await;
    let second = case.sync("alice", Some(&first), lazily()).await;
    assert_eq!(members(&second, &room), names([]));
    case.world.message(&room, "carol", "me too").await;
    let third = case.sync("alice", Some(&second), lazily()).await;
    assert_eq!(members(&third, &room), names(["carol"]));
    // The answer got lost, and the device asks again.
    let again = case.sync("alice", Some(&second), lazily()).await;
    assert_eq!(members(&again, &room), names(["carol"]));
}

#[tokio::test]
async fn who_comes_back_to_a_room_is_told_again_of_the_members_that_he_needs() {
    let case = Case::new();
    let room = office(&case).await;
    case.world.message(&room, "bob", "hello").await;
    let first = case.sync("dave", None, lazily()).await;
    assert_eq!(members(&first, &room), names(["bob", "dave"]));
    case.world.member(&room, "dave", "leave").await;
    let away = case.sync("dave", Some(&first), lazily()).await;
    case.world.member(&room, "dave", "join").await;
    case.world.message(&room, "carol", "welcome back").await;
    let back = case.sync("dave", Some(&away), lazily()).await;
    assert_eq!(members(&back, &room), names(["carol", "dave"]));
    case.world.message(&room, "bob", "indeed").await;
    let later = case.sync("dave", Some(&back), lazily()).await;
    assert_eq!(members(&later, &room), names(["bob"]));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_sync_is_woken_by_news_and_only_by_them() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    let start = case.sync("alice", None, SyncQuery::default()).await;
    let query = SyncQuery { timeout: Duration::from_secs(30), ..SyncQuery::default() };
    let begun = Instant::now();
    let nothing = case.sync("alice", Some(&start), query.clone()).await;
    assert!(begun.elapsed() >= Duration::from_secs(30));
    assert_eq!(room_ids(&nothing["rooms"]["join"]), ids(&[]));
    let begun = Instant::now();
    let waiting = case.sync("alice", Some(&nothing), query);
    let talking = async {
        tokio::task::yield_now().await;
        case.world.message(&room, "alice", "hello").await
    };
    let (news, _) = tokio::join!(waiting, talking);
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(room_ids(&news["rooms"]["join"]), ids(&[&room]));
}

#[tokio::test]
async fn the_full_state_is_told_when_it_is_asked_for() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    let start = case.sync("alice", None, SyncQuery::default()).await;
    let query = SyncQuery { full_state: true, ..SyncQuery::default() };
    let answer = case.sync("alice", Some(&start), query).await;
    let room = &answer["rooms"]["join"][room.id.as_str()];
    assert_eq!(types(&room["timeline"]), [""; 0]);
    assert_eq!(types(&room["state"]).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn typing_wakes_those_in_the_room_and_nobody_else() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    case.world.member(&room, "bob", "join").await;
    let starts = [
        case.sync("bob", None, SyncQuery::default()).await,
        case.sync("carol", None, SyncQuery::default()).await,
    ];
    let query = SyncQuery { timeout: Duration::from_secs(30), ..SyncQuery::default() };
    let begun = Instant::now();
    let bob = async {
        let answer = case.sync("bob", Some(&starts[0]), query.clone()).await;
        (answer, begun.elapsed())
    };
    let carol = async {
        let answer = case.sync("carol", Some(&starts[1]), query.clone()).await;
        (answer, begun.elapsed())
    };
    let alice = crate::room_world::user_id("alice");
    let typing = async {
        tokio::task::yield_now().await;
        case.typing.set(&alice, &room.id, Some(20_000)).await.unwrap();
    };
    let ((answer, bob_waited), (_, carol_waited), ()) = tokio::join!(bob, carol, typing);
    assert!(bob_waited < Duration::from_secs(30) && carol_waited >= Duration::from_secs(30));
    let told = &answer["rooms"]["join"][room.id.as_str()]["ephemeral"]["events"][0];
    assert_eq!(*told, json!({ "type": "m.typing", "content": { "user_ids": [alice] } }));
    let quiet = case.sync("bob", Some(&answer), SyncQuery::default()).await;
    assert_eq!(room_ids(&quiet["rooms"]["join"]), ids(&[]));
}

#[tokio::test]
async fn who_comes_back_to_a_room_is_told_that_nobody_types_any_more() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    case.world.member(&room, "bob", "join").await;
    let alice = crate::room_world::user_id("alice");
    case.typing.set(&alice, &room.id, Some(20_000)).await.unwrap();
    let start = case.sync("bob", None, SyncQuery::default()).await;
    case.world.member(&room, "bob", "leave").await;
    case.world.member(&room, "bob", "join").await;
    case.typing.set(&alice, &room.id, None).await.unwrap();
    let back = case.sync("bob", Some(&start), SyncQuery::default()).await;
    let told = &back["rooms"]["join"][room.id.as_str()]["ephemeral"]["events"];
    assert_eq!(*told, json!([{ "type": "m.typing", "content": { "user_ids": [] } }]));
}

#[tokio::test]
async fn what_was_not_read_is_counted() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    case.world.member(&room, "bob", "join").await;
    let start = case.sync("bob", None, SyncQuery::default()).await;
    case.world.message(&room, "alice", "hello").await;
    let answer = case.sync("bob", Some(&start), SyncQuery::default()).await;
    let counts = &answer["rooms"]["join"][room.id.as_str()]["unread_notifications"];
    assert_eq!(counts["notification_count"], 1);
}

#[tokio::test]
async fn an_initial_sync_tells_the_push_rules() {
    let case = Case::new();
    let answer = case.sync("alice", None, SyncQuery::default()).await;
    let rules = &answer["account_data"]["events"][0];
    assert_eq!(rules["type"], "m.push_rules");
    assert!(rules["content"]["global"]["override"].is_array());
}

/// Puts messages for bob's phone into the store, one commit each.
async fn send_to_bob(case: &Case, messages: std::ops::Range<usize>) {
    for number in messages {
        let context = &case.world.context;
        let mut batch = context.batch();
        let message = json!({ "type": "m.dummy", "sender": "@alice:acme.example", "content": { "n": number } });
        store::to_device::put(&mut batch, "bob", "PHONE", 0, message.to_string().as_bytes());
        let change = Change::ToDevice { user: "bob".to_owned(), device: "PHONE".to_owned() };
        context.log.commit(batch, vec![change]).await.unwrap();
    }
}

fn numbers(answer: &Value) -> Vec<u64> {
    let Some(events) = answer["to_device"]["events"].as_array() else { return Vec::new() };
    events.iter().map(|event| event["content"]["n"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn messages_to_a_device_are_told_until_it_has_them() {
    let case = Case::new();
    let start = case.sync("bob", None, SyncQuery::default()).await;
    send_to_bob(&case, 0..250).await;
    let mut told = Vec::new();
    let mut answer = start;
    for _ in 0..5 {
        let next = case.sync("bob", Some(&answer), SyncQuery::default()).await;
        // The answer gets lost; the next one has the same messages.
        let again = case.sync("bob", Some(&answer), SyncQuery::default()).await;
        assert_eq!(numbers(&next), numbers(&again));
        told.extend(numbers(&again));
        answer = again;
    }
    assert_eq!(told, (0..250).collect::<Vec<u64>>());
    let rows = case.world.context.store.snapshot();
    let kept = store::to_device::pending(&rows, ("bob", "PHONE"), (0, u64::MAX - 1), 10).unwrap();
    assert!(kept.is_empty());
}

#[tokio::test]
async fn those_who_share_a_room_are_told_of_changed_keys() {
    let case = Case::new();
    let encrypted = case.world.room("alice", "shared").await;
    let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    case.world.state(&encrypted, "alice", "m.room.encryption", "", content).await;
    case.world.member(&encrypted, "bob", "join").await;
    let elsewhere = case.world.room("alice", "shared").await;
    case.world.member(&elsewhere, "carol", "join").await;
    let start = case.sync("bob", None, SyncQuery::default()).await;
    for user in ["@alice:acme.example", "@carol:acme.example"] {
        let mut batch = case.world.context.batch();
        store::device_keys::put_changed(&mut batch, user, None);
        let change = Change::DeviceList { user: user.to_owned() };
        case.world.context.log.commit(batch, vec![change]).await.unwrap();
    }
    let answer = case.sync("bob", Some(&start), SyncQuery::default()).await;
    assert_eq!(answer["device_lists"]["changed"], json!(["@alice:acme.example"]));
    case.world.member(&encrypted, "dave", "join").await;
    let answer = case.sync("bob", Some(&answer), SyncQuery::default()).await;
    assert_eq!(answer["device_lists"]["changed"], json!(["@dave:acme.example"]));
    case.world.member(&encrypted, "alice", "leave").await;
    let answer = case.sync("bob", Some(&answer), SyncQuery::default()).await;
    assert_eq!(answer["device_lists"]["left"], json!(["@alice:acme.example"]));
    case.world.member(&encrypted, "bob", "leave").await;
    let answer = case.sync("bob", Some(&answer), SyncQuery::default()).await;
    assert_eq!(answer["device_lists"]["left"], json!(["@dave:acme.example"]));
}

#[tokio::test]
async fn what_is_stored_but_not_published_yet_is_told_once_by_the_next_answer() {
    let case = Case::new();
    let context = &case.world.context;
    let start = case.sync("alice", None, SyncQuery::default()).await;
    let mut batch = context.batch();
    let change = Change::AccountData { user: "alice".to_owned(), room: None };
    store::account_data::put(&mut batch, "alice", (None, "m.direct"), b"{}", None);
    store::log::append(&mut batch, &vec![change]);
    context.store.commit(batch).await.unwrap();
    let early = case.sync("alice", Some(&start), SyncQuery::default()).await;
    assert_eq!(early["account_data"], Value::Null);
    context.log.catch_up().await.unwrap();
    let next = case.sync("alice", Some(&early), SyncQuery::default()).await;
    assert_eq!(types(&next["account_data"]), ["m.direct"]);
    let last = case.sync("alice", Some(&next), SyncQuery::default()).await;
    assert_eq!(last["account_data"], Value::Null);
}

use serde_json::{Value, json};

use super::*;
use crate::{
    inbox::Inboxes,
    presence::Presences,
    room_world::{Room, World, reader},
    typing::Typing,
    unread::Unread,
};

struct Case {
    world: World,
    syncs: Syncs,
}

impl Case {
    fn new() -> Self {
        let world = World::new();
        let inboxes = Inboxes::open(&world.context);
        let (typing, unread) =
            (Typing::new(world.context.clone()), Unread::new(world.context.clone()));
        let presences = Presences::new(world.context.clone());
        let syncs = Syncs::new(world.context.clone(), inboxes, (typing, presences), unread);
        Self { world, syncs }
    }

    async fn slide(&self, user: &str, last: Option<&Value>, request: Value) -> Value {
        let position = last.map(|answer| answer["pos"].as_str().unwrap());
        let request = serde_json::from_value(request).unwrap();
        let answer = self.syncs.slide(reader(user), position, Duration::ZERO, request).await;
        serde_json::to_value(answer.unwrap().0).unwrap()
    }
}

/// A list of the first `count` rooms.
fn list(count: usize, timeline_limit: usize) -> Value {
    json!({ "lists": { "all": {
        "ranges": [[0, count - 1]],
        "timeline_limit": timeline_limit,
        "required_state": [["m.room.create", ""], ["m.room.name", ""], ["m.room.member", "$LAZY"]],
    }}})
}

fn rooms(answer: &Value) -> Vec<String> {
    answer["rooms"].as_object().unwrap().keys().cloned().collect()
}

fn types(events: &Value) -> Vec<&str> {
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn shown<'a>(answer: &'a Value, room: &Room) -> &'a Value {
    &answer["rooms"][room.id.as_str()]
}

#[tokio::test]
async fn a_window_shows_the_rooms_with_the_newest_activity() {
    let case = Case::new();
    let old = case.world.room("alice", "shared").await;
    let new = case.world.room("alice", "shared").await;
    case.world.message(&old, "alice", "hello").await;
    let answer = case.slide("alice", None, list(1, 1)).await;
    assert_eq!(answer["lists"]["all"]["count"], 2);
    assert_eq!(rooms(&answer), [old.id.as_str()]);
    let room = shown(&answer, &old);
    assert_eq!(room["initial"], true);
    assert_eq!(types(&room["timeline"]), ["m.room.message"]);
    assert_eq!(types(&room["required_state"]), ["m.room.create", "m.room.member"]);
    case.world.message(&new, "alice", "now me").await;
    let answer = case.slide("alice", Some(&answer), list(1, 1)).await;
    assert_eq!(rooms(&answer), [new.id.as_str()]);
}

#[tokio::test]
async fn a_room_that_the_device_knows_is_told_by_its_news() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    let start = case.slide("alice", None, list(5, 10)).await;
    let nothing = case.slide("alice", Some(&start), list(5, 10)).await;
    assert_eq!(rooms(&nothing), [""; 0]);
    case.world.state(&room, "alice", "m.room.name", "", json!({ "name": "Office" })).await;
    let answer = case.slide("alice", Some(&nothing), list(5, 10)).await;
    let news = shown(&answer, &room);
    assert!(news.get("initial").is_none());
    assert_eq!(news["name"], "Office");
    assert_eq!(types(&news["timeline"]), ["m.room.name"]);
    assert_eq!(news["num_live"], 1);
    // The answer gets lost, and the device asks again.
    let again = case.slide("alice", Some(&nothing), list(5, 10)).await;
    assert_eq!(types(&shown(&again, &room)["timeline"]), ["m.room.name"]);
}

#[tokio::test]
async fn a_room_that_comes_back_into_the_window_is_told_without_a_gap() {
    let case = Case::new();
    let first = case.world.room("alice", "shared").await;
    let start = case.slide("alice", None, list(1, 5)).await;
    assert_eq!(rooms(&start), [first.id.as_str()]);
    let second = case.world.room("alice", "shared").await;
    case.world.state(&first, "alice", "m.room.topic", "", json!({ "topic": "quiet" })).await;
    let answer = case.slide("alice", Some(&start), list(1, 5)).await;
    assert_eq!(rooms(&answer), [second.id.as_str()]);
    case.world.message(&first, "alice", "back").await;
    let answer = case.slide("alice", Some(&answer), list(1, 5)).await;
    let room = shown(&answer, &first);
    assert!(room.get("initial").is_none());
    assert_eq!(types(&room["timeline"]), ["m.room.topic", "m.room.message"]);
}

#[tokio::test]
async fn a_subscription_shows_more_of_a_room() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    for body in ["one", "two", "three"] {
        case.world.message(&room, "alice", body).await;
    }
    let start = case.slide("alice", None, list(5, 1)).await;
    assert_eq!(types(&shown(&start, &room)["timeline"]).len(), 1);
    let mut request = list(5, 1);
    let visibility = json!([["m.room.history_visibility", ""]]);
    let details = json!({ "timeline_limit": 3, "required_state": visibility });
    request["room_subscriptions"] = json!({ room.id.as_str(): details });
    let answer = case.slide("alice", Some(&start), request).await;
    let more = shown(&answer, &room);
    assert_eq!(types(&more["timeline"]).len(), 3);
    assert_eq!(more["unstable_expanded_timeline"], true);
    assert!(types(&more["required_state"]).contains(&"m.room.history_visibility"));
}

#[tokio::test]
async fn invitations_are_listed_and_who_leaves_is_told_nothing_more() {
    let case = Case::new();
    let room = case.world.room("alice", "shared").await;
    case.world.member(&room, "bob", "invite").await;
    let invited = case.slide("bob", None, list(5, 10)).await;
    assert!(shown(&invited, &room)["invite_state"].is_array());
    assert!(shown(&invited, &room).get("timeline").is_none());
    case.world.member(&room, "bob", "join").await;
    let joined = case.slide("bob", Some(&invited), list(5, 10)).await;
    assert_eq!(shown(&joined, &room)["initial"], true);
    case.world.member(&room, "bob", "leave").await;
    case.world.message(&room, "alice", "without bob").await;
    let left = case.slide("bob", Some(&joined), list(5, 10)).await;
    assert_eq!(types(&shown(&left, &room)["timeline"]), ["m.room.member"]);
    case.world.message(&room, "alice", "still without bob").await;
    let after = case.slide("bob", Some(&left), list(5, 10)).await;
    assert_eq!(rooms(&after), [""; 0]);
}

#[tokio::test]
async fn nobody_is_told_of_rooms_that_he_is_not_in() {
    let case = Case::new();
    let room = case.world.room("alice", "world_readable").await;
    let mut request = list(5, 10);
    let details = json!({ "timeline_limit": 10, "required_state": [["*", "*"]] });
    request["room_subscriptions"] = json!({ room.id.as_str(): details });
    let answer = case.slide("mallory", None, request).await;
    assert_eq!(rooms(&answer), [""; 0]);
}

#[tokio::test]
async fn a_position_that_is_not_known_is_refused() {
    let case = Case::new();
    let request = SlidingRequest::default();
    let refused = case.syncs.slide(reader("alice"), Some("7"), Duration::ZERO, request).await;
    assert!(matches!(refused, Err(SlidingError::UnknownPosition)));
}

#[tokio::test]
async fn extensions_tell_what_is_asked_for() {
    let case = Case::new();
    case.world.room("alice", "shared").await;
    let mut request = list(5, 1);
    request["extensions"] = json!({
        "to_device": { "enabled": true },
        "e2ee": { "enabled": true },
        "account_data": { "enabled": true },
    });
    let answer = case.slide("alice", None, request).await;
    let extensions = &answer["extensions"];
    assert!(extensions["to_device"]["next_batch"].is_string());
    assert_eq!(extensions["e2ee"]["device_one_time_keys_count"]["signed_curve25519"], 0);
    assert_eq!(extensions["account_data"]["global"][0]["type"], "m.push_rules");
    assert!(extensions.get("typing").is_none());
}

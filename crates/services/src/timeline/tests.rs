use serde_json::{Value, json};

use super::*;
use crate::room_world::{Room, World, reader};

fn query(room: &Room, direction: Direction) -> MessagesQuery {
    MessagesQuery {
        room_id: room.id.clone(),
        from: None,
        to: None,
        direction,
        limit: None,
        filter: EventFilter::default(),
    }
}

fn json(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap()
}

/// What the messages of a page say; their types if they say nothing.
fn bodies(chunk: &impl Serialize) -> Vec<String> {
    let body = |event: &Value| {
        let text = event["content"]["body"].as_str().or(event["type"].as_str());
        text.unwrap().to_owned()
    };
    serde_json::to_value(chunk).unwrap().as_array().unwrap().iter().map(body).collect()
}

async fn talk(count: usize) -> (World, Room, Timelines) {
    let world = World::new();
    let room = world.room("alice", "shared").await;
    for number in 1..=count {
        world.message(&room, "alice", &number.to_string()).await;
    }
    let timelines = Timelines::new(world.context.clone());
    (world, room, timelines)
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let (_world, room, timelines) = talk(7).await;
    for (direction, first) in [(Direction::Backward, "7"), (Direction::Forward, "m.room.create")] {
        let mut all = Vec::new();
        let mut from = None;
        loop {
            let query =
                MessagesQuery { from: from.take(), limit: Some(3), ..query(&room, direction) };
            let page = timelines.messages(reader("alice"), query).await.unwrap();
            all.extend(bodies(&page.chunk));
            match page.end {
                Some(end) => from = Some(end),
                None => break,
            }
        }
        assert_eq!(all.len(), 10);
        assert_eq!(all[0], first);
        let unique: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(unique.len(), 10);
    }
}

#[tokio::test]
async fn a_page_ends_at_the_token_that_it_is_to_end_at() {
    let (_world, room, timelines) = talk(6).await;
    let first = MessagesQuery { limit: Some(2), ..query(&room, Direction::Backward) };
    let first = timelines.messages(reader("alice"), first).await.unwrap();
    assert_eq!(bodies(&first.chunk), ["6", "5"]);
    let back = MessagesQuery {
        from: first.end.clone(),
        to: Some(first.start.clone()),
        ..query(&room, Direction::Forward)
    };
    let back = timelines.messages(reader("alice"), back).await.unwrap();
    assert_eq!(bodies(&back.chunk), ["5", "6"]);
}

#[tokio::test]
async fn a_filter_is_applied_before_the_limit() {
    let (world, room, timelines) = talk(3).await;
    for number in 0..20 {
        world.event(&room, "alice", "org.example.noise", json!({ "n": number })).await;
    }
    let filter = EventFilter::parse(r#"{"types":["m.room.message"]}"#).unwrap();
    let query = MessagesQuery { filter, limit: Some(2), ..query(&room, Direction::Backward) };
    let page = timelines.messages(reader("alice"), query).await.unwrap();
    assert_eq!(bodies(&page.chunk), ["3", "2"]);
}

#[tokio::test]
async fn a_stranger_is_told_nothing_and_a_leaver_what_he_saw() {
    let (world, room, timelines) = talk(1).await;
    let asked = query(&room, Direction::Backward);
    let refused = timelines.messages(reader("mallory"), asked.clone()).await;
    assert!(matches!(refused, Err(ReadError::NotAllowed)));
    world.member(&room, "bob", "join").await;
    world.member(&room, "bob", "leave").await;
    world.message(&room, "alice", "without bob").await;
    let page = timelines.messages(reader("bob"), asked).await.unwrap();
    assert_eq!(bodies(&page.chunk)[..2], ["m.room.member", "m.room.member"]);
    let unknown = "!nowhere:acme.example".try_into().unwrap();
    let asked = MessagesQuery { room_id: unknown, ..query(&room, Direction::Backward) };
    let refused = timelines.messages(reader("alice"), asked).await;
    assert!(matches!(refused, Err(ReadError::NotAllowed)));
}

#[tokio::test]
async fn an_event_is_shown_with_what_its_reader_is_told() {
    let (world, room, timelines) = talk(0).await;
    let name = json!({ "name": "One" });
    let first = world.state(&room, "alice", "m.room.name", "", name.clone()).await;
    let second = world.state(&room, "alice", "m.room.name", "", json!({ "name": "Two" })).await;
    let event = timelines.event(reader("alice"), room.id.clone(), second).await.unwrap().unwrap();
    let unsigned = &json(&event)["unsigned"];
    assert_eq!(unsigned["prev_content"], name);
    assert_eq!(unsigned["replaces_state"], first.as_str());
    assert_eq!(unsigned["membership"], "join");
    assert!(unsigned["transaction_id"].is_string());
    assert_eq!(json(&event)["room_id"], room.id.as_str());
}

#[tokio::test]
async fn only_the_device_that_sent_an_event_is_told_its_transaction() {
    let (world, room, timelines) = talk(0).await;
    world.member(&room, "bob", "join").await;
    let message = world.message(&room, "alice", "hello").await;
    let others = [
        reader("bob"),
        Reader { device: Some("TABLET".into()), ..reader("alice") },
        Reader { device: None, ..reader("alice") },
    ];
    for other in others {
        let event = timelines.event(other, room.id.clone(), message.clone()).await.unwrap();
        assert!(json(&event.unwrap())["unsigned"].get("transaction_id").is_none());
    }
}

#[tokio::test]
async fn an_event_is_shown_between_its_neighbours() {
    let (world, room, timelines) = talk(5).await;
    let event_id = world.message(&room, "alice", "the one").await;
    world.message(&room, "alice", "6").await;
    world.message(&room, "alice", "7").await;
    let query = ContextQuery {
        room_id: room.id.clone(),
        event_id,
        limit: Some(4),
        filter: EventFilter::default(),
    };
    let found = timelines.surroundings(reader("alice"), query).await.unwrap();
    assert_eq!(bodies(&found.events_before), ["5", "4"]);
    assert_eq!(bodies(&found.events_after), ["6", "7"]);
    assert_eq!(found.state.len(), 3);
    let on = MessagesQuery { from: Some(found.start), limit: Some(1), ..query_back(&room) };
    let page = timelines.messages(reader("alice"), on).await.unwrap();
    assert_eq!(bodies(&page.chunk), ["3"]);
}

fn query_back(room: &Room) -> MessagesQuery {
    query(room, Direction::Backward)
}

fn relates(rel_type: &str, parent: &ruma::EventId, body: &str) -> Value {
    let relates_to = json!({ "rel_type": rel_type, "event_id": parent });
    json!({ "msgtype": "m.text", "body": body, "m.relates_to": relates_to })
}

fn related_to(room: &Room, event_id: &ruma::EventId) -> RelationsQuery {
    RelationsQuery {
        room_id: room.id.clone(),
        event_id: event_id.to_owned(),
        rel_type: None,
        event_type: None,
        from: None,
        to: None,
        direction: Direction::Backward,
        limit: None,
        recurse: false,
    }
}

#[tokio::test]
async fn an_event_is_bundled_with_its_thread_and_its_newest_edit() {
    let (world, room, timelines) = talk(0).await;
    world.member(&room, "bob", "join").await;
    let root = world.message(&room, "alice", "root").await;
    for body in ["reply 1", "reply 2"] {
        world.event(&room, "bob", "m.room.message", relates("m.thread", &root, body)).await;
    }
    for (sender, body) in [("alice", "edit 1"), ("alice", "edit 2"), ("bob", "forged")] {
        world.clock.advance(std::time::Duration::from_secs(1));
        world.event(&room, sender, "m.room.message", relates("m.replace", &root, body)).await;
    }
    let event = timelines.event(reader("alice"), room.id.clone(), root).await.unwrap().unwrap();
    let bundle = &json(&event)["unsigned"]["m.relations"];
    assert_eq!(bundle["m.thread"]["count"], 2);
    assert_eq!(bundle["m.thread"]["latest_event"]["content"]["body"], "reply 2");
    assert_eq!(bundle["m.thread"]["current_user_participated"], true);
    assert_eq!(bundle["m.replace"]["content"]["body"], "edit 2");
    assert!(bundle.get("m.reference").is_none());
}

#[tokio::test]
async fn relations_are_paged_and_chosen_by_type() {
    let (world, room, timelines) = talk(0).await;
    let root = world.message(&room, "alice", "root").await;
    for number in 1..=4 {
        let body = format!("reply {number}");
        world.event(&room, "alice", "m.room.message", relates("m.thread", &root, &body)).await;
        let reaction = json!({ "m.relates_to": {
            "rel_type": "m.annotation", "event_id": root, "key": number.to_string(),
        }});
        world.event(&room, "alice", "m.reaction", reaction).await;
    }
    let all = timelines.relations(reader("alice"), related_to(&room, &root)).await.unwrap();
    assert_eq!(all.chunk.len(), 8);
    let mut from = None;
    let mut replies = Vec::new();
    loop {
        let query = RelationsQuery {
            rel_type: Some("m.thread".to_owned()),
            limit: Some(3),
            from,
            ..related_to(&room, &root)
        };
        let page = timelines.relations(reader("alice"), query).await.unwrap();
        replies.extend(bodies(&page.chunk));
        from = page.next_batch;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(replies, ["reply 4", "reply 3", "reply 2", "reply 1"]);
}

#[tokio::test]
async fn relations_of_relations_are_found_and_circles_end() {
    let (world, room, timelines) = talk(0).await;
    let root = world.message(&room, "alice", "root").await;
    let reply = relates("m.thread", &root, "reply");
    let reply = world.event(&room, "alice", "m.room.message", reply).await;
    let edit = relates("m.replace", &reply, "edited reply");
    world.event(&room, "alice", "m.room.message", edit).await;
    let query = RelationsQuery { recurse: true, ..related_to(&room, &root) };
    let found = timelines.relations(reader("alice"), query).await.unwrap();
    assert_eq!(bodies(&found.chunk), ["edited reply", "reply"]);
    assert!(found.recursion_depth.unwrap() >= 2);
}

#[tokio::test]
async fn threads_are_listed_by_their_newest_reply() {
    let (world, room, timelines) = talk(0).await;
    world.member(&room, "bob", "join").await;
    let one = world.message(&room, "alice", "one").await;
    let two = world.message(&room, "alice", "two").await;
    for (sender, root) in [("alice", &one), ("bob", &two), ("alice", &one)] {
        world.event(&room, sender, "m.room.message", relates("m.thread", root, "reply")).await;
    }
    let asked =
        ThreadsQuery { room_id: room.id.clone(), participated: false, limit: None, from: None };
    let all = timelines.threads(reader("alice"), asked.clone()).await.unwrap();
    assert_eq!(bodies(&all.chunk), ["one", "two"]);
    let first = ThreadsQuery { limit: Some(1), ..asked.clone() };
    let first = timelines.threads(reader("alice"), first).await.unwrap();
    assert_eq!(bodies(&first.chunk), ["one"]);
    let rest = ThreadsQuery { from: first.next_batch, ..asked.clone() };
    let rest = timelines.threads(reader("alice"), rest).await.unwrap();
    assert_eq!(bodies(&rest.chunk), ["two"]);
    let mine = ThreadsQuery { participated: true, ..asked };
    let mine = timelines.threads(reader("bob"), mine).await.unwrap();
    assert_eq!(bodies(&mine.chunk), ["two"]);
}

#[tokio::test]
async fn the_event_nearest_to_a_time_is_found_in_both_directions() {
    let (world, room, timelines) = talk(0).await;
    let start = world.context.clock.now_ms();
    let mut ids = Vec::new();
    for second in 1..=20 {
        world.clock.advance(std::time::Duration::from_secs(1));
        ids.push(world.message(&room, "alice", &second.to_string()).await);
    }
    let at = |seconds: u64, direction| {
        let room_id = room.id.clone();
        timelines.event_at_time(reader("alice"), room_id, start + seconds * 1_000 - 500, direction)
    };
    let found = at(8, Direction::Forward).await.unwrap().unwrap();
    assert_eq!(found.event_id, ids[7].as_str());
    let found = at(8, Direction::Backward).await.unwrap().unwrap();
    assert_eq!(found.event_id, ids[6].as_str());
    assert_eq!(at(30, Direction::Forward).await.unwrap(), None);
}

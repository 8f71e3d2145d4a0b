//! Saying something, and reading it again.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{each, list, public_room, set, sync, text},
};
use harness::{Account, View};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestSendAndFetchMessage", send_and_fetch),
        case("TestFetchMessagesFromNonExistentRoom", unknown_room),
        case("TestSendMessageWithTxn", with_transaction),
        case("TestRoomMessagesLazyLoading", lazy_members),
        case("TestRoomMessagesLazyLoadingLocalUser", lazy_own_member),
        case("TestMessagesOverFederation", |stage| pages(stage, true)),
        case("paging through a room, both ways", |stage| pages(stage, false)),
    ]
}

async fn page(who: &Account, room: &str, query: &[(&str, &str)]) -> Value {
    who.get(&["rooms", room, "messages"]).query(query).ok().await
}

async fn send_and_fetch(stage: Stage) {
    let alice = stage.person().await;
    let room = public_room(&alice).await;
    let said = alice.say(&room, "hello, room").await;
    let synced = sync(&alice, &[]).await;
    let from = text(&synced, "/next_batch");
    let page = page(&alice, &room, &[("dir", "b"), ("from", &from)]).await;
    let newest = &list(&page, "/chunk")[0];
    assert_eq!(
        (&newest["event_id"], &newest["content"]["body"]),
        (&json!(said), &json!("hello, room"))
    );
    for (field, wanted) in [("sender", &alice.user_id), ("room_id", &room)] {
        assert_eq!(newest[field], *wanted, "{newest}");
    }
    assert!(newest["origin_server_ts"].is_u64(), "{newest}");
}

async fn unknown_room(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    for room in [&room, "!nowhere:example.org"] {
        let call = bob.get(&["rooms", room, "messages"]).query(&[("dir", "b")]);
        call.answer().await.refused(403, "M_FORBIDDEN");
    }
}

async fn with_transaction(stage: Stage) {
    let alice = stage.person().await;
    let room = public_room(&alice).await;
    let path = ["rooms", room.as_str(), "send", "m.room.message", "once"];
    let body = json!({ "msgtype": "m.text", "body": "said once" });
    let first = alice.put(&path, &body).ok().await;
    let second = alice.put(&path, &body).ok().await;
    assert_eq!(text(&first, "/event_id"), text(&second, "/event_id"));
    let all = alice.history(&room).await;
    assert_eq!(all.iter().filter(|event| event["content"] == body).count(), 1);
}

const LAZY: &str = r#"{"lazy_load_members":true}"#;

async fn lazy_members(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let carol = company.person("carol").await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    carol.join(&room, &[]).await;
    bob.say(&room, "Bob's word").await;
    let page = page(&alice, &room, &[("dir", "b"), ("limit", "1"), ("filter", LAZY)]).await;
    assert_eq!(each(list(&page, "/chunk"), "sender"), [bob.user_id.as_str()]);
    let members = set(list(&page, "/state"), "state_key");
    assert_eq!(members, [bob.user_id].into(), "{page}");
}

async fn lazy_own_member(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    let said = alice.say(&room, "my own word").await;
    bob.join(&room, &[]).await;
    let synced = sync(&bob, &[]).await;
    let from = text(&synced, "/next_batch");
    let query = [("dir", "b"), ("from", from.as_str()), ("filter", LAZY)];
    let page = page(&bob, &room, &query).await;
    assert!(each(list(&page, "/chunk"), "event_id").contains(&said), "{page}");
    assert!(set(list(&page, "/state"), "state_key").contains(&alice.user_id), "{page}");
}

/// All of a room's past in pages, by who came later: the same events in both directions.
async fn pages(stage: Stage, over_federation: bool) {
    let (alice, bob) =
        if over_federation { stage.partners().await } else { stage.colleagues().await };
    let room = public_room(&alice).await;
    let mut said = Vec::new();
    for line in 0..12 {
        said.push(alice.say(&room, &format!("line {line}")).await);
    }
    let server = alice.user_id.split_once(':').expect("a server").1.to_owned();
    bob.join(&room, &[&server]).await;
    let mut view = View::default();
    let last = alice.say(&room, "the last line").await;
    bob.until_event(&mut view, &room, &last).await;
    said.push(last);
    stage
        .row("backwards", async {
            let mut back = each(&walk(&bob, &room, "b").await, "event_id");
            back.reverse();
            assert_eq!(only(&back, &said), said);
        })
        .await;
    if !over_federation {
        // Who came from elsewhere may have no more of the past than he asked for.
        stage
            .row("forwards", async {
                let forth = each(&walk(&bob, &room, "f").await, "event_id");
                assert_eq!(only(&forth, &said), said);
            })
            .await;
    }
    stage
        .row("the room begins with its creation", async {
            let back = walk(&bob, &room, "b").await;
            assert_eq!(back.last().expect("events")["type"], "m.room.create");
        })
        .await;
}

fn only(all: &[String], wanted: &[String]) -> Vec<String> {
    all.iter().filter(|id| wanted.contains(id)).cloned().collect()
}

/// Pages of five until there is no more.
async fn walk(who: &Account, room: &str, direction: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut from = None::<String>;
    loop {
        let mut query = vec![("dir", direction), ("limit", "5")];
        query.extend(from.as_deref().map(|from| ("from", from)));
        let page = page(who, room, &query).await;
        let chunk = list(&page, "/chunk");
        assert!(chunk.len() <= 5, "{page}");
        events.extend(chunk.to_vec());
        match page["end"].as_str() {
            // Forwards, some servers give an end for ever: nothing new is an end too.
            Some(end) if !(direction == "f" && chunk.is_empty()) => from = Some(end.into()),
            _ => return events,
        }
    }
}

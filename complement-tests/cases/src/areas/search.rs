//! Finding what was said.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{list, public_room, text},
};
use harness::{Account, eventually};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![case("TestSearch", search)]
}

/// What is found of a word in a room, with more of the criteria.
async fn find(who: &Account, room: &str, word: &str, more: Value, query: &[(&str, &str)]) -> Value {
    let mut criteria = json!({ "search_term": word, "filter": { "rooms": [room] } });
    criteria
        .as_object_mut()
        .expect("an object")
        .extend(more.as_object().cloned().unwrap_or_default());
    let body = json!({ "search_categories": { "room_events": criteria } });
    let found = who.post(&["search"], &body).query(query).ok().await;
    found["search_categories"]["room_events"].clone()
}

/// Waits until as many are found: what was said is indexed a moment later.
async fn until_found(who: &Account, room: &str, word: &str, count: u64) {
    eventually(&format!("{count} of {word}"), async || {
        let found = find(who, room, word, json!({}), &[]).await;
        (found["count"] == count).then_some(())
    })
    .await;
}

fn bodies(results: &Value) -> Vec<String> {
    list(results, "/results").iter().map(|one| text(one, "/result/content/body")).collect()
}

async fn search(stage: Stage) {
    let (alice, eve) = stage.colleagues().await;
    let room = public_room(&alice).await;
    let mut said = Vec::new();
    for nth in 1..=7 {
        said.push(alice.say(&room, &format!("barrel number {nth}")).await);
    }
    until_found(&alice, &room, "barrel", 7).await;
    stage
        .row("Can search for an event by body", async {
            let found = find(&alice, &room, "4", json!({ "keys": ["content.body"] }), &[]).await;
            assert_eq!(found["count"], 1, "{found}");
            let one = &found["results"][0]["result"];
            assert_eq!(
                (&one["event_id"], &one["room_id"]),
                (&json!(said[3]), &json!(room)),
                "{one}"
            );
            assert_eq!(
                (&one["type"], &one["sender"]),
                (&json!("m.room.message"), &json!(alice.user_id))
            );
        })
        .await;
    stage
        .row("Can get context around search results", async {
            let context = json!({ "event_context": { "before_limit": 2, "after_limit": 1 } });
            let found = find(&alice, &room, "4", context, &[]).await;
            let context = &found["results"][0]["context"];
            let bodies = |part: &str| -> Vec<String> {
                list(context, part).iter().map(|event| text(event, "/content/body")).collect()
            };
            assert_eq!(bodies("/events_before"), ["barrel number 3", "barrel number 2"]);
            assert_eq!(bodies("/events_after"), ["barrel number 5"]);
        })
        .await;
    stage
        .row("Can back-paginate search results", async {
            let recent = json!({ "order_by": "recent", "filter": { "rooms": [room], "limit": 5 } });
            let first = find(&alice, &room, "barrel", recent.clone(), &[]).await;
            let next = text(&first, "/next_batch");
            let second = find(&alice, &room, "barrel", recent, &[("next_batch", &next)]).await;
            let all = [bodies(&first), bodies(&second)].concat();
            let wanted: Vec<_> = (1..=7).rev().map(|nth| format!("barrel number {nth}")).collect();
            assert_eq!(all, wanted, "newest first, each once");
        })
        .await;
    redacted(&stage, &alice, &room).await;
    stage
        .row("nobody finds what he may not see", async {
            let found = find(&eve, &room, "barrel", json!({}), &[]).await;
            assert!(list(&found, "/results").is_empty(), "{found}");
        })
        .await;
}

/// What was taken back is found no more, in whatever order.
async fn redacted(stage: &Stage, alice: &Account, room: &str) {
    for order in ["rank", "recent"] {
        stage
            .row(
                &format!("Search results with {order} ordering do not include redacted events"),
                async {
                    let secret = alice.say(room, &format!("secret{order} price")).await;
                    until_found(alice, room, &format!("secret{order}"), 1).await;
                    alice.redact(room, &secret).await;
                    let order_by = json!({ "order_by": order });
                    eventually("it is found no more", async || {
                        let found =
                            find(alice, room, &format!("secret{order}"), order_by.clone(), &[])
                                .await;
                        list(&found, "/results").is_empty().then_some(())
                    })
                    .await;
                },
            )
            .await;
    }
}

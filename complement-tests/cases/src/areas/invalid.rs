//! What a server must refuse to read.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::public_room,
};
use reqwest::Method;
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![case("TestJson", numbers), case("TestFilter", filter), case("TestEvent", large_events)]
}

/// Events hold integers between -2^53 and 2^53 only.
async fn numbers(stage: Stage) {
    let alice = stage.person().await;
    let room = public_room(&alice).await;
    let rows = [
        ("Invalid numerical values", "9007199254740992"),
        ("Invalid numerical values, negative", "-9007199254740992"),
        ("Invalid numerical values, a fraction", "1.1"),
        ("Invalid JSON special values, Infinity", "Infinity"),
        ("Invalid JSON special values, -Infinity", "-Infinity"),
        ("Invalid JSON special values, NaN", "NaN"),
    ];
    for (row, number) in rows {
        stage
            .row(row, async {
                let transaction = alice.next_transaction();
                let path = [
                    "_matrix",
                    "client",
                    "v3",
                    "rooms",
                    &room,
                    "send",
                    "org.example",
                    &transaction,
                ];
                let body = format!("{{\"number\": {number}}}").into_bytes();
                let call = alice.call_at(Method::PUT, &path).bytes("application/json", body);
                let answer = call.answer().await;
                assert_eq!(answer.status, 400, "{answer}");
                assert!(
                    ["M_BAD_JSON", "M_NOT_JSON"].contains(&answer.errcode().as_str()),
                    "{answer}"
                );
            })
            .await;
    }
    stage
        .row("the largest numbers are good", async {
            for number in [9_007_199_254_740_991_i64, -9_007_199_254_740_991] {
                alice.send(&room, "org.example", &json!({ "number": number })).await;
            }
        })
        .await;
}

async fn filter(stage: Stage) {
    let alice = stage.person().await;
    let path = ["user", alice.user_id.as_str(), "filter"];
    let wrong = [
        json!({ "presence": "nobody" }),
        json!({ "room": { "timeline": "some" } }),
        json!({ "room": { "timeline": { "senders": "me" } } }),
        json!({ "room": { "rooms": ["not a room"] } }),
        json!({ "presence": { "senders": ["not a user"] } }),
    ];
    for filter in wrong {
        stage
            .row(&filter.to_string(), async {
                let answer = alice.post(&path, &filter).answer().await;
                assert_eq!(answer.status, 400, "{answer}");
            })
            .await;
    }
    stage
        .row("a good one is taken", async {
            let filter = json!({ "room": { "timeline": { "senders": [alice.user_id] } } });
            assert!(alice.post(&path, &filter).ok().await["filter_id"].is_string());
        })
        .await;
}

/// An event has at most 65,536 bytes, and its state key 255.
async fn large_events(stage: Stage) {
    let alice = stage.person().await;
    let room = public_room(&alice).await;
    let large = json!({ "msgtype": "m.text", "body": "x".repeat(66_000) });
    stage
        .row("Large Event", async {
            let transaction = alice.next_transaction();
            let call = alice.put(&["rooms", &room, "send", "m.room.message", &transaction], &large);
            call.answer().await.refused(413, "M_TOO_LARGE");
        })
        .await;
    stage
        .row("Large State Event", async {
            let answer = alice.try_set_state(&room, "org.example", "", &large).await;
            answer.refused(413, "M_TOO_LARGE");
        })
        .await;
    stage
        .row("a large one that is within the limit is taken", async {
            let content = json!({ "msgtype": "m.text", "body": "x".repeat(60_000) });
            let sent = alice.send(&room, "m.room.message", &content).await;
            assert_eq!(alice.event(&room, &sent).await.expect("it is kept")["content"], content);
        })
        .await;
}

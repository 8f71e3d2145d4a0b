use http::StatusCode;
use serde_json::{Value, json};

use crate::testing::TestHomeserver;

const OPEN: &str = "[registration]\nenabled = true";

async fn room(server: &TestHomeserver, token: &str) -> String {
    let preset = json!({ "preset": "private_chat", "name": token });
    let (_, body) = server.ask("POST", "/_matrix/client/v3/createRoom", token, preset).await;
    body["room_id"].as_str().unwrap().to_owned()
}

async fn say(server: &TestHomeserver, token: &str, room: &str, body: &str) -> String {
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{}", body.len());
    let content = json!({ "msgtype": "m.text", "body": body });
    let (status, answer) = server.ask("PUT", &path, token, content).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["event_id"].as_str().unwrap().to_owned()
}

async fn search(server: &TestHomeserver, token: &str, since: &str, asked: Value) -> Value {
    let path = format!("/_matrix/client/v3/search?next_batch={since}");
    let body = json!({ "search_categories": { "room_events": asked } });
    let (status, mut answer) = server.ask("POST", &path, token, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["search_categories"]["room_events"].take()
}

fn bodies(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().unwrap().iter();
    results.map(|found| found["result"]["content"]["body"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn messages_are_found_by_their_words() {
    let server = TestHomeserver::with_config(OPEN).await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (ledger, secret) = (room(&server, &alice).await, room(&server, &bob).await);
    for body in ["Cloves from Reval", "pepper", "More cloves", "cloves, cloves and salt!"] {
        say(&server, &alice, &ledger, body).await;
    }
    let gone = say(&server, &alice, &ledger, "cloves that nobody should find").await;
    let redact = format!("/_matrix/client/v3/rooms/{ledger}/redact/{gone}/r");
    server.ask("PUT", &redact, &alice, json!({})).await;
    say(&server, &bob, &secret, "bob's own cloves").await;

    let asked = json!({ "search_term": "CLOVE", "order_by": "recent" });
    let found = search(&server, &alice, "", asked).await;
    let newest_first = ["cloves, cloves and salt!", "More cloves", "Cloves from Reval"];
    assert_eq!((bodies(&found), &found["count"]), (newest_first.to_vec(), &json!(3)));
    let asked = json!({ "search_term": "cloves", "order_by": "rank" });
    let found = search(&server, &alice, "", asked).await;
    assert_eq!(bodies(&found)[2], "Cloves from Reval");
    let found = search(&server, &alice, "", json!({ "search_term": "cloves pepper" })).await;
    assert_eq!(found["count"], json!(0));
    assert_eq!(
        bodies(&search(&server, &bob, "", json!({ "search_term": "cloves" })).await).len(),
        1
    );
}

#[tokio::test]
async fn results_come_page_by_page_with_their_surroundings() {
    let server = TestHomeserver::with_config(OPEN).await;
    let alice = server.register("alice").await;
    let ledger = room(&server, &alice).await;
    for body in ["one sack", "two sacks!", "three sacks!!"] {
        say(&server, &alice, &ledger, body).await;
    }
    let asked = json!({
        "search_term": "sack",
        "order_by": "recent",
        "filter": { "limit": 2 },
        "event_context": { "before_limit": 1, "after_limit": 1, "include_profile": true },
        "groupings": { "group_by": [{ "key": "room_id" }] },
        "include_state": true,
    });
    let first = search(&server, &alice, "", asked.clone()).await;
    assert_eq!(bodies(&first), ["three sacks!!", "two sacks!"]);
    let around = &first["results"][1]["context"];
    assert_eq!(around["events_before"][0]["content"]["body"], json!("one sack"));
    assert_eq!(around["events_after"][0]["content"]["body"], json!("three sacks!!"));
    assert!(around["profile_info"].get("@alice:acme.example").is_some());
    assert_eq!(first["groups"]["room_id"][&ledger]["results"].as_array().unwrap().len(), 2);
    assert!(first["state"].get(&ledger).is_some());
    let since = first["next_batch"].as_str().unwrap();
    let second = search(&server, &alice, since, asked.clone()).await;
    assert_eq!((bodies(&second), &second["count"]), (vec!["one sack"], &json!(3)));
    assert!(second.get("next_batch").is_none());
}

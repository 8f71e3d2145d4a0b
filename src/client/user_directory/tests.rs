use serde_json::{Value, json};

use crate::testing::TestHomeserver;

const HIDING: &str = "[registration]\nenabled = true\n[user_directory]\nsearch_all_users = false";

async fn post(server: &TestHomeserver, token: &str, path: &str, body: Value) -> Value {
    server.ask("POST", &format!("/_matrix/client/v3/{path}"), token, body).await.1
}

async fn found(server: &TestHomeserver, token: &str) -> Vec<String> {
    let asked = json!({ "search_term": "@a" });
    let answer = post(server, token, "user_directory/search", asked).await;
    let results = answer["results"].as_array().unwrap().iter();
    results.map(|person| person["user_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn strangers_are_not_found_where_the_operator_hides_them() {
    let server = TestHomeserver::with_config(HIDING).await;
    let anna = server.register("anna").await;
    let arno = server.register("arno").await;
    let seeker = server.register("seeker").await;
    let room = post(&server, &anna, "createRoom", json!({ "preset": "public_chat" })).await;
    let room = room["room_id"].as_str().unwrap();
    assert!(found(&server, &seeker).await.is_empty());
    // Arno is in a published room, which everybody may look into.
    post(&server, &arno, "createRoom", json!({ "visibility": "public" })).await;
    assert_eq!(found(&server, &seeker).await, ["@arno:acme.example"]);
    post(&server, &seeker, &format!("rooms/{room}/join"), json!({})).await;
    assert_eq!(found(&server, &seeker).await, ["@anna:acme.example", "@arno:acme.example"]);
}

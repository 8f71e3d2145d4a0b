use http::StatusCode;
use serde_json::{Value, json};

use crate::testing::TestHomeserver;

const OPEN: &str = "[registration]\nenabled = true";

async fn room(server: &TestHomeserver, token: &str, content: Value) -> String {
    let (status, body) = server.ask("POST", "/_matrix/client/v3/createRoom", token, content).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["room_id"].as_str().unwrap().to_owned()
}

fn space(name: &str) -> Value {
    let creation_content = json!({ "type": "m.space" });
    json!({ "preset": "public_chat", "name": name, "creation_content": creation_content })
}

async fn link(server: &TestHomeserver, token: &str, (from, to): (&str, &str), content: Value) {
    let path = format!("/_matrix/client/v3/rooms/{from}/state/m.space.child/{to}");
    let (status, body) = server.ask("PUT", &path, token, content).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

fn names(body: &Value) -> Vec<&str> {
    body["rooms"].as_array().unwrap().iter().map(|room| room["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_space_is_shown_depth_first_page_by_page() {
    let server = TestHomeserver::with_config(OPEN).await;
    let alice = server.register("alice").await;
    let root = room(&server, &alice, space("root")).await;
    let below = room(&server, &alice, space("below")).await;
    let leaf = room(&server, &alice, json!({ "preset": "public_chat", "name": "leaf" })).await;
    let last = room(&server, &alice, json!({ "preset": "public_chat", "name": "last" })).await;
    let via = json!(["acme.example"]);
    link(&server, &alice, (&root, &last), json!({ "via": via, "suggested": true, "order": "b" }))
        .await;
    link(&server, &alice, (&root, &below), json!({ "via": via, "order": "a" })).await;
    link(&server, &alice, (&below, &leaf), json!({ "via": via })).await;
    // A tree with a circle in it is a tree all the same.
    link(&server, &alice, (&below, &root), json!({ "via": via })).await;
    let path = format!("/_matrix/client/v1/rooms/{root}/hierarchy");
    let (_, whole) = server.get(&path, &alice).await;
    assert_eq!(names(&whole), ["root", "below", "leaf", "last"]);
    assert_eq!(whole["rooms"][0]["children_state"][0]["state_key"], json!(below));
    assert!(whole.get("next_batch").is_none());

    let (_, first) = server.get(&format!("{path}?limit=3&max_depth=5"), &alice).await;
    assert_eq!(names(&first), ["root", "below", "leaf"]);
    let from = first["next_batch"].as_str().unwrap();
    let (_, second) = server.get(&format!("{path}?limit=3&from={from}"), &alice).await;
    assert_eq!(names(&second), ["last"]);
    let (status, _) = server.get(&format!("{path}?from={from}&max_depth=1"), &alice).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    let (_, shallow) = server.get(&format!("{path}?max_depth=1"), &alice).await;
    assert_eq!(names(&shallow), ["root", "below", "last"]);
    let (_, suggested) = server.get(&format!("{path}?suggested_only=true"), &alice).await;
    assert_eq!(names(&suggested), ["root", "last"]);
}

#[tokio::test]
async fn only_rooms_that_are_open_to_the_user_are_shown() {
    let server = TestHomeserver::with_config(OPEN).await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let root = room(&server, &alice, space("root")).await;
    let secret = room(&server, &alice, json!({ "preset": "private_chat", "name": "secret" })).await;
    let allow = json!([{ "type": "m.room_membership", "room_id": root }]);
    let rules = json!({ "join_rule": "restricted", "allow": allow });
    let rules = json!([{ "type": "m.room.join_rules", "content": rules }]);
    let inner = json!({ "preset": "private_chat", "name": "inner", "initial_state": rules });
    let inner = room(&server, &alice, inner).await;
    for child in [&secret, &inner] {
        link(&server, &alice, (&root, child), json!({ "via": ["acme.example"] })).await;
    }
    let path = format!("/_matrix/client/v1/rooms/{root}/hierarchy");
    assert_eq!(names(&server.get(&path, &bob).await.1), ["root"]);
    let join = format!("/_matrix/client/v3/rooms/{root}/join");
    server.ask("POST", &join, &bob, json!({})).await;
    assert_eq!(names(&server.get(&path, &bob).await.1), ["root", "inner"]);
    assert_eq!(names(&server.get(&path, &alice).await.1), ["root", "secret", "inner"]);

    let hidden = format!("/_matrix/client/v1/rooms/{secret}/hierarchy");
    assert_eq!(server.get(&hidden, &bob).await.0, StatusCode::FORBIDDEN);
    let hidden = format!("/_matrix/client/v1/room_summary/{secret}");
    assert_eq!(server.get(&hidden, &bob).await.0, StatusCode::NOT_FOUND);
    let (_, summary) = server.get(&format!("/_matrix/client/v1/room_summary/{inner}"), &bob).await;
    assert_eq!(summary["allowed_room_ids"], json!([root]));
    assert_eq!((&summary["membership"], &summary["name"]), (&json!("leave"), &json!("inner")));
}

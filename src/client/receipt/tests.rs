//! Reading and typing on the wire, and what a sync makes of it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::testing::TestHomeserver;

const OPEN: &str = "[registration]\nenabled = true";

struct Scene {
    server: TestHomeserver,
    alice: String,
    bob: String,
    room: String,
}

impl Scene {
    async fn new() -> Self {
        let server = TestHomeserver::with_config(OPEN).await;
        let (alice, bob) = (server.register("alice").await, server.register("bob").await);
        let create = json!({ "preset": "public_chat" });
        let (status, created) =
            server.ask("POST", "/_matrix/client/v3/createRoom", &alice, create).await;
        assert_eq!(status, StatusCode::OK, "{created}");
        let room = created["room_id"].as_str().unwrap().to_owned();
        let scene = Self { server, alice, bob, room };
        let (status, joined) = scene.in_room("POST", "join", &scene.bob, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{joined}");
        scene
    }

    async fn in_room(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let path = format!("/_matrix/client/v3/rooms/{}/{path}", self.room);
        self.server.ask(method, &path, token, body).await
    }

    async fn say(&self, token: &str, transaction: &str) -> String {
        let content = json!({ "msgtype": "m.text", "body": transaction });
        let path = format!("send/m.room.message/{transaction}");
        let (status, sent) = self.in_room("PUT", &path, token, content).await;
        assert_eq!(status, StatusCode::OK, "{sent}");
        sent["event_id"].as_str().unwrap().to_owned()
    }

    /// What the user's sync says of the room, from the beginning.
    async fn sync(&self, token: &str) -> Value {
        let (status, mut synced) = self.server.get("/_matrix/client/v3/sync", token).await;
        assert_eq!(status, StatusCode::OK, "{synced}");
        synced["rooms"]["join"][&self.room].take()
    }
}

fn code((status, body): &(StatusCode, Value)) -> (u16, &str) {
    (status.as_u16(), body["errcode"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_receipt_is_seen_by_others_and_resets_the_count() {
    let scene = Scene::new().await;
    let event = scene.say(&scene.alice, "one").await;
    let before = scene.sync(&scene.bob).await;
    assert_eq!(before["unread_notifications"]["notification_count"], 1);
    let path = format!("receipt/m.read/{event}");
    assert_eq!(
        scene.in_room("POST", &path, &scene.bob, json!({})).await,
        (StatusCode::OK, json!({}))
    );
    let after = scene.sync(&scene.bob).await;
    assert_eq!(after["unread_notifications"]["notification_count"], 0);
    let seen = scene.sync(&scene.alice).await;
    let ephemeral = seen["ephemeral"]["events"].as_array().unwrap();
    let receipts = ephemeral.iter().find(|event| event["type"] == "m.receipt").unwrap();
    assert!(receipts["content"][&event]["m.read"]["@bob:acme.example"]["ts"].is_u64());
}

#[tokio::test]
async fn a_receipt_that_makes_no_sense_is_refused() {
    let scene = Scene::new().await;
    let event = scene.say(&scene.alice, "one").await;
    let carol = scene.server.register("carol").await;
    let read = format!("receipt/m.read/{event}");
    let fully = format!("receipt/m.fully_read/{event}");
    let unknown = "receipt/m.read/$unknown".to_owned();
    let other = format!("receipt/m.other/{event}");
    let no_id = "receipt/m.read/event".to_owned();
    for (path, token, body, expected) in [
        (&read, &scene.bob, json!({ "thread_id": "" }), (400, "M_INVALID_PARAM")),
        (&read, &scene.bob, json!({ "thread_id": 5 }), (400, "M_INVALID_PARAM")),
        (&read, &scene.bob, json!({ "thread_id": "$other" }), (400, "M_INVALID_PARAM")),
        (&fully, &scene.bob, json!({ "thread_id": "main" }), (400, "M_INVALID_PARAM")),
        (&other, &scene.bob, json!({}), (400, "M_INVALID_PARAM")),
        (&no_id, &scene.bob, json!({}), (400, "M_INVALID_PARAM")),
        (&unknown, &scene.bob, json!({}), (404, "M_NOT_FOUND")),
        (&read, &carol, json!({}), (403, "M_FORBIDDEN")),
        (&read, &scene.bob, json!({ "thread_id": "main" }), (200, "")),
        (&fully, &scene.bob, json!({}), (200, "")),
    ] {
        let answer = scene.in_room("POST", path, token, body.clone()).await;
        assert_eq!(code(&answer), expected, "{path} {body}");
    }
}

#[tokio::test]
async fn markers_are_set_together() {
    let scene = Scene::new().await;
    let event = scene.say(&scene.alice, "one").await;
    let markers = json!({ "m.fully_read": event, "m.read": event, "m.read.private": event });
    let answer = scene.in_room("POST", "read_markers", &scene.bob, markers).await;
    assert_eq!(answer, (StatusCode::OK, json!({})));
    let synced = scene.sync(&scene.bob).await;
    let data = synced["account_data"]["events"].as_array().unwrap();
    let marker = data.iter().find(|data| data["type"] == "m.fully_read").unwrap();
    assert_eq!(marker["content"], json!({ "event_id": event }));
}

#[tokio::test]
async fn who_types_is_seen_typing() {
    let scene = Scene::new().await;
    let path = "typing/@bob:acme.example";
    let typing = json!({ "typing": true, "timeout": 30_000 });
    let foreign = scene.in_room("PUT", path, &scene.alice, typing.clone()).await;
    assert_eq!(code(&foreign), (403, "M_FORBIDDEN"));
    let answer = scene.in_room("PUT", path, &scene.bob, typing).await;
    assert_eq!(answer, (StatusCode::OK, json!({})));
    let synced = scene.sync(&scene.alice).await;
    let ephemeral = synced["ephemeral"]["events"].as_array().unwrap();
    let typing = ephemeral.iter().find(|event| event["type"] == "m.typing").unwrap();
    assert_eq!(typing["content"], json!({ "user_ids": ["@bob:acme.example"] }));
}

#[tokio::test]
async fn notifications_can_be_paged_through() {
    let scene = Scene::new().await;
    for index in 0..3 {
        scene.say(&scene.alice, &index.to_string()).await;
    }
    let path = "/_matrix/client/v3/notifications?limit=2";
    let (_, first) = scene.server.get(path, &scene.bob).await;
    let bodies = |page: &Value| -> Vec<String> {
        let list = page["notifications"].as_array().unwrap().iter();
        list.map(|one| one["event"]["content"]["body"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(bodies(&first), ["2", "1"]);
    assert_eq!(first["notifications"][0]["room_id"], json!(scene.room));
    let token = first["next_token"].as_str().unwrap();
    let (_, second) = scene.server.get(&format!("{path}&from={token}"), &scene.bob).await;
    assert_eq!(bodies(&second), ["0"]);
    let answer = scene.server.get(&format!("{path}&from=x"), &scene.bob).await;
    assert_eq!(code(&answer), (400, "M_INVALID_PARAM"));
}

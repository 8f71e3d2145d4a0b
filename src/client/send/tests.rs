use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use http::StatusCode;
use kv::MemoryEngine;
use serde_json::json;

use crate::testing::{ACME, TestHomeserver};

#[tokio::test]
async fn while_the_disk_syncs_nothing_is_acknowledged_and_everything_is_read() {
    let engine = MemoryEngine::new(store::TABLES);
    let config =
        format!("[[homeserver]]\nserver_name = \"{ACME}\"\n[registration]\nenabled = true");
    let server = TestHomeserver::start(&config, Arc::new(engine.clone())).await;
    let token = server.register("alice").await;
    let (_, room) = server.ask("POST", "/_matrix/client/v3/createRoom", &token, json!({})).await;
    let room = room["room_id"].as_str().unwrap();
    let message = |text: &str, transaction: &str| {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{transaction}");
        let (server, token, text) = (&server, token.as_str(), text.to_owned());
        async move {
            let body = json!({ "msgtype": "m.text", "body": text });
            server.ask("PUT", &path, token, body).await
        }
    };
    let (_, first) = message("synced", "1").await;
    let history = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=1");
    let newest = async || {
        let (status, page) = server.get(&history, &token).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page["chunk"][0]["event_id"].clone()
    };

    engine.hold();
    let mut sending = pin!(message("not yet synced", "2"));
    for path in ["/_matrix/client/v3/sync", "/_matrix/client/v3/joined_rooms"] {
        let early = poll_fn(|context| Poll::Ready(sending.as_mut().poll(context).is_ready())).await;
        assert!(!early, "it was acknowledged before it was synced");
        assert_eq!(server.get(path, &token).await.0, StatusCode::OK);
        assert_eq!(newest().await, first["event_id"]);
    }
    engine.release();
    let (status, second) = sending.await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(newest().await, second["event_id"]);
}

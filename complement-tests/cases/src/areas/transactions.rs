//! Transaction ids: said once is said once.

use crate::{
    case::{Case, case},
    stage::{Company, Stage},
    words::{list, password_login, public_room, sync, text},
};
use harness::{Account, PASSWORD, View};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestTxnInEvent", in_event),
        case("TestTxnScopeOnLocalEcho", local_echo),
        case("TestTxnIdempotencyScopedToDevice", scoped_to_device),
        case("TestTxnIdempotency", idempotency),
        case("TestTxnIdWithRefreshToken", refreshed),
    ]
}

async fn send(who: &Account, room: &str, transaction: &str, body: &str) -> String {
    let content = json!({ "msgtype": "m.text", "body": body });
    let path = ["rooms", room, "send", "m.room.message", transaction];
    text(&who.put(&path, &content).ok().await, "/event_id")
}

/// The transaction id that a device is told with an event.
async fn echo(who: &Account, room: &str, event: &str) -> Value {
    let told = who.until_event(&mut View::default(), room, event).await;
    told["unsigned"]["transaction_id"].clone()
}

/// Another login for the same device.
async fn same_device(company: &Company, who: &Account, more: Value) -> Value {
    let mut body = password_login(&who.user_id, PASSWORD);
    body["device_id"] = json!(who.device_id);
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    company.post(&["login"], &body).ok().await
}

async fn in_event(stage: Stage) {
    let alice = stage.person().await;
    let room = public_room(&alice).await;
    let said = send(&alice, &room, "first", "hello").await;
    let event = alice.event(&room, &said).await.expect("it is there");
    assert_eq!(event["unsigned"]["transaction_id"], "first", "{event}");
}

async fn local_echo(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let room = public_room(&alice).await;
    let said = send(&alice, &room, "first", "hello").await;
    stage
        .row("the device that sent it is told", async {
            assert_eq!(echo(&alice, &room, &said).await, "first");
        })
        .await;
    stage
        .row("another device of the same user is not", async {
            let other = alice.log_in_again().await;
            assert_eq!(echo(&other, &room, &said).await, Value::Null);
        })
        .await;
    stage
        .row("the device is, after it logged in anew", async {
            let again = company.logged_in(&same_device(&company, &alice, json!({})).await);
            assert_eq!(echo(&again, &room, &said).await, "first");
        })
        .await;
}

async fn scoped_to_device(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let room = public_room(&alice).await;
    let first = send(&alice, &room, "first", "hello").await;
    let again = company.logged_in(&same_device(&company, &alice, json!({})).await);
    assert_eq!(send(&again, &room, "first", "hello").await, first);
    let other = again.log_in_again().await;
    assert_ne!(send(&other, &room, "first", "hello").await, first);
}

async fn idempotency(stage: Stage) {
    let alice = stage.person().await;
    let (room, other) = (public_room(&alice).await, public_room(&alice).await);
    let first = send(&alice, &room, "first", "hello").await;
    for (row, again, same) in [
        ("the same request", send(&alice, &room, "first", "hello").await, true),
        ("the same id with another content", send(&alice, &room, "first", "bye").await, true),
        ("the same id in another room", send(&alice, &other, "first", "hello").await, false),
        ("another id", send(&alice, &room, "second", "hello").await, false),
    ] {
        stage.row(row, async { assert_eq!(again == first, same) }).await;
    }
    stage
        .row("the same id with another event type", async {
            let path = ["rooms", room.as_str(), "send", "org.example.note", "first"];
            let noted = alice.put(&path, &json!({})).ok().await;
            assert_ne!(text(&noted, "/event_id"), first);
        })
        .await;
}

async fn refreshed(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let login = same_device(&company, &alice, json!({ "refresh_token": true })).await;
    let alice = company.logged_in(&login);
    let room = public_room(&alice).await;
    let said = send(&alice, &room, "first", "hello").await;
    let body = json!({ "refresh_token": text(&login, "/refresh_token") });
    let mut fresh = company.post(&["refresh"], &body).ok().await;
    assert_ne!(fresh["access_token"], login["access_token"]);
    for field in ["user_id", "device_id"] {
        fresh[field] = login[field].clone();
    }
    let fresh = company.logged_in(&fresh);
    assert_eq!(send(&fresh, &room, "first", "hello").await, said);
    assert_eq!(echo(&fresh, &room, &said).await, "first");
    let synced = sync(&fresh, &[]).await;
    let timeline = list(&synced["rooms"]["join"][&room], "/timeline/events");
    assert_eq!(timeline.iter().filter(|event| event["type"] == "m.room.message").count(), 1);
}

//! What the users do at random. A refusal is as good as a success; a failure of the server is not.

use crate::crowd::Crowd;
use harness::{Account, Call};
use rand::RngExt;
use reqwest::Method;
use serde_json::{Value, json};

/// Makes a room; whom it invites is up to chance, later.
pub async fn create_room(crowd: &mut Crowd) {
    let user = crowd.one_of(|crowd| &crowd.users).expect("users");
    let preset = if crowd.rng.random_bool(0.5) { "public_chat" } else { "private_chat" };
    let others = crowd.users.iter().filter(|other| other.user_id != user.user_id);
    let others = others.map(|other| other.user_id.as_str()).collect::<Vec<_>>();
    let power = json!({ "users_default": 50 });
    let options =
        json!({ "preset": preset, "invite": others, "power_level_content_override": power });
    let room = user.create_room(&options).await;
    println!("{} creates {room}", user.user_id);
    for other in &crowd.users {
        if crowd.rng.random_bool(0.7) {
            other.join(&room, &[]).await;
        }
    }
    crowd.rooms.push(room);
}

/// One random action.
pub async fn random(crowd: &mut Crowd) {
    let user = crowd.one_of(|crowd| &crowd.users).expect("users");
    let room = crowd.one_of(|crowd| &crowd.rooms).expect("rooms");
    match crowd.rng.random_range(0..100) {
        0..30 => say(crowd, &user, &room).await,
        30..42 => set_state(crowd, &user, &room).await,
        42..62 => change_membership(crowd, &user, &room).await,
        62..67 => redact(crowd, &user).await,
        67..75 => receipt(crowd, &user).await,
        75..82 => account_data(crowd, &user, &room).await,
        82..86 => tag(crowd, &user, &room).await,
        86..90 => typing(crowd, &user, &room).await,
        90..94 => to_device(crowd, &user).await,
        94..97 => profile(crowd, &user).await,
        97..99 => burst(crowd, &user, &room).await,
        _ => create_room(crowd).await,
    }
}

async fn act(user: &Account, what: &str, call: Call) -> Value {
    let answer = call.answer().await;
    println!("{} {what}: {}", user.user_id, answer.status);
    assert!(!answer.status.is_server_error(), "{answer}");
    answer.json()
}

async fn say(crowd: &mut Crowd, user: &Account, room: &str) {
    let number = crowd.rng.random::<u16>();
    let content = json!({ "msgtype": "m.text", "body": format!("word {number}") });
    let transaction = user.next_transaction();
    let path = ["rooms", room, "send", "m.room.message", &transaction];
    let answer = act(user, &format!("says in {room}"), user.put(&path, &content)).await;
    if let Some(event) = answer["event_id"].as_str() {
        crowd.events.push((room.into(), event.into()));
    }
}

async fn burst(crowd: &mut Crowd, user: &Account, room: &str) {
    for _ in 0..12 {
        say(crowd, user, room).await;
    }
}

async fn set_state(crowd: &mut Crowd, user: &Account, room: &str) {
    let number = crowd.rng.random_range(0..3);
    let value = crowd.rng.random::<u16>();
    let (kind, key, content) = match number {
        0 => ("m.room.topic", String::new(), json!({ "topic": format!("topic {value}") })),
        1 => ("m.room.name", String::new(), json!({ "name": format!("name {value}") })),
        _ => ("org.example.row", format!("{}", value % 4), json!({ "value": value })),
    };
    let call = user.put(&["rooms", room, "state", kind, &key], &content);
    act(user, &format!("sets {kind} in {room}"), call).await;
}

async fn change_membership(crowd: &mut Crowd, user: &Account, room: &str) {
    let other = crowd.one_of(|crowd| &crowd.users).expect("users").user_id;
    let (verb, body) = match crowd.rng.random_range(0..10) {
        0..2 => ("leave", json!({})),
        2..5 => ("join", json!({})),
        5..7 => ("invite", json!({ "user_id": other })),
        7 => ("kick", json!({ "user_id": other })),
        8 => ("ban", json!({ "user_id": other })),
        _ => ("unban", json!({ "user_id": other })),
    };
    let call = user.post(&["rooms", room, verb], &body);
    act(user, &format!("{verb} {other} in {room}"), call).await;
}

async fn redact(crowd: &mut Crowd, user: &Account) {
    let Some((room, event)) = crowd.one_of(|crowd| &crowd.events) else { return };
    let transaction = user.next_transaction();
    let call = user.put(&["rooms", &room, "redact", &event, &transaction], &json!({}));
    act(user, &format!("redacts {event} in {room}"), call).await;
}

async fn receipt(crowd: &mut Crowd, user: &Account) {
    let Some((room, event)) = crowd.one_of(|crowd| &crowd.events) else { return };
    let kind = if crowd.rng.random_bool(0.8) { "m.read" } else { "m.read.private" };
    let call = user.post(&["rooms", &room, "receipt", kind, &event], &json!({}));
    act(user, &format!("{kind} {event} in {room}"), call).await;
}

async fn account_data(crowd: &mut Crowd, user: &Account, room: &str) {
    let value = json!({ "value": crowd.rng.random::<u16>() });
    let kind = format!("org.example.{}", crowd.rng.random_range(0..2));
    let own = ["user", &user.user_id, "account_data", &kind];
    let of_room = ["user", &user.user_id, "rooms", room, "account_data", &kind];
    let path: &[&str] = if crowd.rng.random_bool(0.5) { &own } else { &of_room };
    act(user, &format!("account data {kind} {room}"), user.put(path, &value)).await;
}

async fn tag(crowd: &mut Crowd, user: &Account, room: &str) {
    let path = ["user", &user.user_id, "rooms", room, "tags", "u.work"];
    let call = if crowd.rng.random_bool(0.7) {
        user.put(&path, &json!({ "order": 0.5 }))
    } else {
        user.call(Method::DELETE, &path)
    };
    act(user, &format!("tags {room}"), call).await;
}

async fn typing(crowd: &mut Crowd, user: &Account, room: &str) {
    let typing = crowd.rng.random_bool(0.5);
    // Longer than the run: what times out by itself is not this test's business.
    let body = json!({ "typing": typing, "timeout": 600_000 });
    let call = user.put(&["rooms", room, "typing", &user.user_id], &body);
    act(user, &format!("typing {typing} in {room}"), call).await;
}

async fn to_device(crowd: &mut Crowd, user: &Account) {
    let to = crowd.one_of(|crowd| &crowd.users).expect("users").user_id;
    let number = crowd.rng.random::<u16>();
    let transaction = user.next_transaction();
    let body = json!({ "messages": { to.as_str(): { "*": { "number": number } } } });
    let call = user.put(&["sendToDevice", "org.example.note", &transaction], &body);
    act(user, &format!("note {number} to {to}"), call).await;
    crowd.sent_to_device.push((to, number.into()));
}

async fn profile(crowd: &mut Crowd, user: &Account) {
    let name = json!({ "displayname": format!("name {}", crowd.rng.random::<u16>()) });
    let call = user.put(&["profile", &user.user_id, "displayname"], &name);
    act(user, "has a new name", call).await;
}

//! The few words in which the cases are told, beside those of the harness.

use harness::{Account, PASSWORD};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What `m.login.password` needs, for a user id or a localpart.
pub fn password_login(user: &str, password: &str) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user },
        "password": password,
    })
}

/// The second half of a request that must be confirmed with a password.
pub fn confirmed(mut body: Value, who: &Account, password: &str, session: &Value) -> Value {
    body["auth"] = password_login(&who.user_id, password);
    body["auth"]["session"] = session.clone();
    body
}

/// Makes a request, is asked for the password, and gives it.
pub async fn confirm(who: &Account, method: Method, path: &[&str], body: Value) -> harness::Answer {
    let asked = who.call(method.clone(), path).json(&body).answer().await;
    assert_eq!(asked.status, 401, "{asked}");
    let body = confirmed(body, who, PASSWORD, &asked.json()["session"]);
    who.call(method, path).json(&body).answer().await
}

/// One /sync with these parameters.
pub async fn sync(who: &Account, query: &[(&str, &str)]) -> Value {
    who.get(&["sync"]).query(query).ok().await
}

/// A string of an answer.
#[track_caller]
pub fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer} in {value}")).to_owned()
}

/// A list of an answer; nothing is an empty one.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// One field of each item.
pub fn each(items: &[Value], field: &str) -> Vec<String> {
    items.iter().filter_map(|item| item[field].as_str().map(str::to_owned)).collect()
}

/// One field of each item, without order.
pub fn set(items: &[Value], field: &str) -> BTreeSet<String> {
    each(items, field).into_iter().collect()
}

/// A room that everybody may join.
pub async fn public_room(of: &Account) -> String {
    of.create_room(&json!({ "preset": "public_chat" })).await
}
/// What a member event says of somebody.
pub async fn membership(seen_by: &Account, room: &str, of: &Account) -> Option<String> {
    let content = seen_by.state_content(room, "m.room.member", &of.user_id).await?;
    content["membership"].as_str().map(str::to_owned)
}

/// Waits until somebody has this membership.
pub async fn becomes(seen_by: &Account, room: &str, of: &Account, wanted: &str) {
    harness::eventually(&format!("{} becomes {wanted}", of.user_id), async || {
        (membership(seen_by, room, of).await? == wanted).then_some(())
    })
    .await;
}

//! A person with an access token, and what people do.

use crate::{
    call::{Answer, Call, Http, Lost},
    room::StateIds,
    server::Server,
    view::View,
    wait::eventually,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

const PREFIX: [&str; 3] = ["_matrix", "client", "v3"];
/// How long a /sync waits for news.
const POLL_MS: &str = "2000";
/// The password of everybody.
pub const PASSWORD: &str = "correct horse battery staple";

/// A logged-in device of a user.
#[derive(Clone, Debug)]
pub struct Account {
    http: Http,
    token: String,
    /// Full user id.
    pub user_id: String,
    /// The device of this token.
    pub device_id: String,
    transactions: Arc<AtomicU64>,
}

impl Account {
    /// Registers by the open door and is logged in.
    pub async fn register(http: Http, localpart: &str) -> Self {
        let body = json!({
            "username": localpart,
            "password": PASSWORD,
            "auth": { "type": "m.login.dummy" },
        });
        let call = http.call(Method::POST, &[&PREFIX[..], &["register"]].concat()).json(&body);
        let answer = call.ok().await;
        Self::from_login(http, &answer)
    }

    /// Logs in once more: another device of the same person.
    pub async fn log_in_again(&self) -> Self {
        let body = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": self.user_id },
            "password": PASSWORD,
        });
        let path = [&PREFIX[..], &["login"]].concat();
        let answer = self.http.call(Method::POST, &path).json(&body).ok().await;
        Self::from_login(self.http.clone(), &answer)
    }

    /// Whom an answer of /login or /register names.
    pub fn from_login(http: Http, answer: &Value) -> Self {
        Self {
            http,
            token: text(answer, "access_token"),
            user_id: text(answer, "user_id"),
            device_id: text(answer, "device_id"),
            transactions: Arc::default(),
        }
    }

    /// The same person with the same token, after the homeserver moved to another process.
    pub fn moved_to(&self, server: &Server) -> Self {
        Self { http: self.http.moved_to(&server.base()), ..self.clone() }
    }

    /// A request below `/_matrix/client/v3` as this person.
    pub fn call(&self, method: Method, path: &[&str]) -> Call {
        self.call_at(method, &[&PREFIX[..], path].concat())
    }

    /// A request to any path as this person.
    pub fn call_at(&self, method: Method, path: &[&str]) -> Call {
        self.http.call(method, path).token(&self.token)
    }

    /// `GET` below `/_matrix/client/v3`.
    pub fn get(&self, path: &[&str]) -> Call {
        self.call(Method::GET, path)
    }

    /// `POST` below `/_matrix/client/v3`.
    pub fn post(&self, path: &[&str], body: &Value) -> Call {
        self.call(Method::POST, path).json(body)
    }

    /// `PUT` below `/_matrix/client/v3`.
    pub fn put(&self, path: &[&str], body: &Value) -> Call {
        self.call(Method::PUT, path).json(body)
    }

    /// A transaction id that this device has not used.
    pub fn next_transaction(&self) -> String {
        format!("t{}", self.transactions.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a room and returns its id.
    pub async fn create_room(&self, options: &Value) -> String {
        text(&self.post(&["createRoom"], options).ok().await, "room_id")
    }

    /// Invites a user.
    pub async fn invite(&self, room: &str, user: &str) {
        self.post(&["rooms", room, "invite"], &json!({ "user_id": user })).ok().await;
    }

    /// Joins by room id or alias, through a server if one is named.
    pub async fn join(&self, room: &str, via: &[&str]) -> String {
        let via = via.iter().map(|server| ("via", *server)).collect::<Vec<_>>();
        text(&self.post(&["join", room], &json!({})).query(&via).ok().await, "room_id")
    }

    /// Leaves a room or turns down an invitation.
    pub async fn leave(&self, room: &str) {
        self.post(&["rooms", room, "leave"], &json!({})).ok().await;
    }

    /// `kick`, `ban` or `unban` of a user.
    pub async fn moderate(&self, room: &str, verb: &str, user: &str) -> Answer {
        self.post(&["rooms", room, verb], &json!({ "user_id": user })).answer().await
    }

    /// Sends a text and returns the event's id.
    pub async fn say(&self, room: &str, body: &str) -> String {
        self.send(room, "m.room.message", &json!({ "msgtype": "m.text", "body": body })).await
    }

    /// Sends an event and returns its id.
    pub async fn send(&self, room: &str, kind: &str, content: &Value) -> String {
        let transaction = self.next_transaction();
        let call = self.put(&["rooms", room, "send", kind, &transaction], content);
        text(&call.ok().await, "event_id")
    }

    /// Redacts an event and returns the redaction's id.
    pub async fn redact(&self, room: &str, event: &str) -> String {
        let transaction = self.next_transaction();
        let call = self.put(&["rooms", room, "redact", event, &transaction], &json!({}));
        text(&call.ok().await, "event_id")
    }

    /// Sets a piece of state and returns the event's id.
    pub async fn set_state(&self, room: &str, kind: &str, key: &str, content: &Value) -> String {
        text(&self.try_set_state(room, kind, key, content).await.ok(), "event_id")
    }

    /// Tries to set a piece of state.
    pub async fn try_set_state(&self, room: &str, kind: &str, key: &str, to: &Value) -> Answer {
        self.put(&["rooms", room, "state", kind, key], to).answer().await
    }

    /// One event, if this server has it and shows it to this person.
    pub async fn event(&self, room: &str, event: &str) -> Option<Value> {
        let answer = self.get(&["rooms", room, "event", event]).answer().await;
        answer.status.is_success().then(|| answer.json())
    }

    /// Which event is each piece of the room's state; empty if it is not shown to this person.
    pub async fn state(&self, room: &str) -> StateIds {
        StateIds::of(&self.get(&["rooms", room, "state"]).answer().await.json())
    }

    /// What one piece of state says.
    pub async fn state_content(&self, room: &str, kind: &str, key: &str) -> Option<Value> {
        let answer = self.get(&["rooms", room, "state", kind, key]).answer().await;
        answer.status.is_success().then(|| answer.json())
    }

    /// All of the room's events that are shown to this person, newest first.
    pub async fn history(&self, room: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut from = None::<String>;
        loop {
            let mut query = vec![("dir", "b"), ("limit", "100")];
            query.extend(from.as_deref().map(|from| ("from", from)));
            let page = self.get(&["rooms", room, "messages"]).query(&query).ok().await;
            events.extend(page["chunk"].as_array().cloned().unwrap_or_default());
            match page["end"].as_str() {
                Some(end) if from.as_deref() != Some(end) => from = Some(end.into()),
                _ => return events,
            }
        }
    }

    /// Marks an event as read.
    pub async fn read(&self, room: &str, event: &str) {
        self.post(&["rooms", room, "receipt", "m.read", event], &json!({})).ok().await;
    }

    /// Uploads a file and returns its `mxc:` URI.
    pub async fn upload(&self, name: &str, content_type: &str, content: Vec<u8>) -> String {
        let call = self.call_at(Method::POST, &["_matrix", "media", "v3", "upload"]);
        let call = call.query(&[("filename", name)]).bytes(content_type, content);
        text(&call.ok().await, "content_uri")
    }

    /// Downloads what an `mxc:` URI names.
    pub async fn download(&self, uri: &str) -> Answer {
        let (server, id) = uri
            .strip_prefix("mxc://")
            .and_then(|rest| rest.split_once('/'))
            .unwrap_or_else(|| panic!("not an mxc URI: {uri}"));
        let path = ["_matrix", "client", "v1", "media", "download", server, id];
        self.call_at(Method::GET, &path).answer().await
    }

    /// One /sync, from where the view stands; with `wait` it may take some seconds for news.
    pub async fn sync(&self, view: &mut View, wait: bool) {
        let synced = self.try_sync(view, wait).await;
        synced.unwrap_or_else(|Lost(why)| panic!("no answer to {why}"));
    }

    /// One /sync of a server that may be gone; the view stays as it was then.
    pub async fn try_sync(&self, view: &mut View, wait: bool) -> Result<(), Lost> {
        let mut query = vec![("timeout", if wait { POLL_MS } else { "0" })];
        query.extend(view.filter().map(|filter| ("filter", filter)));
        query.extend(view.since().map(|since| ("since", since)));
        view.apply(&self.get(&["sync"]).query(&query).attempt().await?.ok());
        Ok(())
    }

    /// Syncs until the view shows something, and panics if it never does.
    pub async fn until<T>(
        &self,
        view: &mut View,
        what: &str,
        mut probe: impl FnMut(&View) -> Option<T>,
    ) -> T {
        let what = format!("{} sees {what}", self.user_id);
        eventually(&what, async || {
            let found = probe(view);
            if found.is_none() {
                self.sync(view, true).await;
            }
            found
        })
        .await
    }

    /// Syncs until this event is in the room's timeline, and returns it.
    pub async fn until_event(&self, view: &mut View, room: &str, event: &str) -> Value {
        self.until(view, &format!("event {event}"), |view| {
            view.timeline(room).iter().find(|e| e["event_id"] == event).cloned()
        })
        .await
    }
}

pub(crate) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no string `{key}` in {value}")).to_owned()
}

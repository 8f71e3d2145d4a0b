//! A homeserver that does what a case wants, right or wrong: it has a name, keys, TLS and rooms.
//!
//! It serves what a server must serve for its rooms (`answers.rs`), unless the case answers in its
//! stead; it never does anything by itself. What other servers tell it is kept for the case.

mod answers;
mod heard;
mod room;
mod server;
mod signing;

pub use room::{Event, Room};
pub use server::{Asked, Reply};

use crate::{stage::Company, tap::Wire};
use harness::{Answer, Authority, Call, Http, Port};
use heard::Heard;
use reqwest::Method;
use serde_json::{Value, json};
use server::Shared;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::task::AbortHandle;

/// A peer; it is gone when this is dropped.
pub struct Peer {
    /// Its server name.
    pub name: String,
    shared: Arc<Shared>,
    transactions: AtomicU64,
    listening: AbortHandle,
    _port: Port,
}

impl Peer {
    /// Starts a peer whose certificate is good.
    pub async fn start(http: Http, authority: &Authority, wire: Arc<Wire>) -> Self {
        let port = Port::lease();
        let name = format!("127.0.1.1:{}", port.number());
        let shared = Arc::new(Shared::new(name.clone(), http, wire));
        let listening = server::listen(Arc::clone(&shared), authority, port.number()).await;
        Self { name, shared, transactions: AtomicU64::default(), listening, _port: port }
    }

    /// A user of this server.
    pub fn user(&self, localpart: &str) -> String {
        format!("@{localpart}:{}", self.name)
    }

    /// What it was told so far, and what it will be.
    pub fn heard(&self) -> &Heard {
        &self.shared.heard
    }

    /// From now on the case answers requests of this method whose path holds `part`.
    pub fn answer(
        &self,
        method: Method,
        part: &str,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) {
        self.shared.answer_instead(method, part, Box::new(answer));
    }

    /// Makes a room in which everybody may be, of one of its users.
    pub fn create_room(&self, version: &str, creator: &str) -> String {
        self.create_room_with(version, creator, json!({ "join_rule": "public" }))
    }

    /// Makes a room with a rule of who may come in.
    pub fn create_room_with(&self, version: &str, creator: &str, join_rules: Value) -> String {
        let room = Room::create(version, &self.user(creator), &self.shared.key, join_rules);
        let id = room.id.clone();
        self.shared.rooms().insert(id.clone(), room);
        id
    }

    /// Looks at a room, or works on it.
    pub fn room<T>(&self, id: &str, work: impl FnOnce(&mut Room) -> T) -> T {
        let mut rooms = self.shared.rooms();
        work(rooms.get_mut(id).unwrap_or_else(|| panic!("the peer is not in {id}")))
    }

    /// A copy of a room, to be looked at.
    pub fn copy_of(&self, id: &str) -> Room {
        self.room(id, |room| room.clone())
    }

    /// Signs a draft.
    pub fn sign(&self, room: &str, draft: Value) -> Event {
        self.room(room, |room| room.sign(draft, &self.shared.key))
    }

    /// Signs what others might have meant to say: an event of any room version.
    pub fn sign_template(&self, version: &str, draft: Value) -> Event {
        Room::signed(version, draft, &self.shared.key)
    }

    /// Writes an event into a room and does not send it.
    pub fn write(
        &self,
        room: &str,
        by: &str,
        kind: &str,
        key: Option<&str>,
        content: Value,
    ) -> Event {
        let by = self.user(by);
        self.room(room, |room| {
            let draft = room.draft(&by, kind, key, content);
            let event = room.sign(draft, &self.shared.key);
            room.add(event.clone());
            event
        })
    }

    /// Writes a message and sends it.
    pub async fn say(&self, to: &Company, room: &str, by: &str, body: &str) -> Event {
        let content = json!({ "msgtype": "m.text", "body": body });
        let event = self.write(room, by, "m.room.message", None, content);
        self.send(to, &[&event]).await;
        event
    }

    /// Sends events; the request as such must succeed.
    pub async fn send(&self, to: &Company, events: &[&Event]) {
        let pdus = events.iter().map(|event| &event.pdu).collect::<Vec<_>>();
        self.transaction(to, json!({ "pdus": pdus })).await.ok();
    }

    /// Sends an ephemeral data unit.
    pub async fn send_edu(&self, to: &Company, kind: &str, content: Value) {
        let edu = json!({ "edu_type": kind, "content": content });
        self.transaction(to, json!({ "pdus": [], "edus": [edu] })).await.ok();
    }

    /// Sends a whole transaction.
    pub async fn transaction(&self, to: &Company, mut body: Value) -> Answer {
        body["origin"] = json!(self.name);
        body["origin_server_ts"] = json!(signing::now_ms());
        let id = self.transactions.fetch_add(1, Ordering::Relaxed).to_string();
        self.put(to, &["v1", "send", &id], &[], &body).await
    }

    /// `GET` below `/_matrix/federation`, signed.
    pub async fn get(&self, to: &Company, path: &[&str], query: &[(&str, &str)]) -> Answer {
        self.signed(to, Method::GET, path, query, None).await
    }

    /// `PUT` below `/_matrix/federation`, signed.
    pub async fn put(
        &self,
        to: &Company,
        path: &[&str],
        query: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        self.signed(to, Method::PUT, path, query, Some(body)).await
    }

    /// `POST` below `/_matrix/federation`, signed.
    pub async fn post(&self, to: &Company, path: &[&str], body: &Value) -> Answer {
        self.signed(to, Method::POST, path, &[], Some(body)).await
    }

    async fn signed(
        &self,
        to: &Company,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let path = [&["_matrix", "federation"], path].concat();
        let mut call: Call = to.call(method.clone(), &path);
        if !query.is_empty() {
            call = call.query(query);
        }
        let key = &self.shared.key;
        let header = key.authorisation(&to.name, method.as_str(), &call.target(), body);
        if let Some(body) = body {
            call = call.json(body);
        }
        call.header("authorization", &header).answer().await
    }

    /// Joins a room of another server as one of its users, and knows the room from then on.
    pub async fn join(&self, to: &Company, room: &str, user: &str) {
        let (join, version) = self.make_join(to, room, user).await;
        let path = ["v2", "send_join", room, &join.id];
        let sent = self.put(to, &path, &[], &join.pdu).await.ok();
        let joined = Room::joined(room, &version, join, &sent);
        self.shared.rooms().insert(room.to_owned(), joined);
    }

    /// Asks for a template, and signs it.
    pub async fn make_join(&self, to: &Company, room: &str, user: &str) -> (Event, String) {
        let user = self.user(user);
        let path = ["v1", "make_join", room, &user];
        let versions = ["6", "7", "8", "9", "10", "11", "12"].map(|version| ("ver", version));
        let made = self.get(to, &path, &versions).await.ok();
        let version = made["room_version"].as_str().expect("a room version").to_owned();
        (self.sign_template(&version, made["event"].clone()), version)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

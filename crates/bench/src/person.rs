//! A light client: a person with an access token and one connection that stays open.
//!
//! The generator shares the machine with the server that it loads, so it does as little as it can:
//! no redirects, no pool, no cookies, and an answer is parsed only by who wants to know it.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;

const PREFIX: &str = "/_matrix/client/v3";
const PASSWORD: &str = "correct horse battery staple";

/// Where a homeserver is, and whom to ask for there.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) name: String,
}

/// Somebody with a token, or nobody in particular.
#[derive(Debug)]
pub(crate) struct Person {
    door: Door,
    token: String,
    pub(crate) user_id: String,
    line: Option<SendRequest<Full<Bytes>>>,
    /// What the transactions of this connection begin with: unlike those of every other.
    prefix: u64,
    sent: u64,
}

impl Person {
    /// Somebody without an account.
    pub(crate) fn nobody(door: &Door) -> Self {
        Self {
            door: door.clone(),
            token: String::new(),
            user_id: String::new(),
            line: None,
            prefix: 0,
            sent: 0,
        }
    }

    /// Registers by the open door.
    pub(crate) async fn register(door: &Door, localpart: &str) -> Self {
        let body = json!({
            "username": localpart,
            "password": PASSWORD,
            "auth": { "type": "m.login.dummy" },
        });
        let mut person = Self::nobody(door);
        let answer = person.post("/register", &body).await;
        person.token = text(&answer, "access_token");
        person.user_id = text(&answer, "user_id");
        person
    }

    /// The same person with the same token, on a connection of his own.
    pub(crate) fn again(&self, prefix: u64) -> Self {
        Self {
            door: self.door.clone(),
            token: self.token.clone(),
            user_id: self.user_id.clone(),
            line: None,
            prefix,
            sent: 0,
        }
    }

    /// Hangs up; the next request calls again.
    pub(crate) fn hang_up(&mut self) {
        self.line = None;
    }

    pub(crate) async fn get(&mut self, path: &str) -> Bytes {
        self.request(Method::GET, path, None).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Value {
        json_of(&self.request(Method::POST, path, Some(body.to_string())).await)
    }

    /// Makes a public room and returns its id.
    pub(crate) async fn create_room(&mut self) -> String {
        let body = json!({ "preset": "public_chat" });
        text(&self.post("/createRoom", &body).await, "room_id")
    }

    /// Joins, through a server if one is named.
    pub(crate) async fn join(&mut self, room: &str, via: Option<&str>) {
        let via = via.map(|via| format!("?via={}", escape(via))).unwrap_or_default();
        self.post(&format!("/join/{}{via}", escape(room)), &json!({})).await;
    }

    /// Sends a text of 93 bytes of JSON and returns the event's id.
    pub(crate) async fn say(&mut self, room: &str) -> String {
        const TEXT: &str = "The quick brown fox jumps over the lazy dog, twice.";
        let body = format!(r#"{{"body":"{TEXT}{:08}","msgtype":"m.text"}}"#, self.sent);
        let transaction = format!("{}-{}", self.prefix, self.sent);
        self.sent += 1;
        let path = format!("/rooms/{}/send/m.room.message/{transaction}", escape(room));
        let answer = self.request(Method::PUT, &path, Some(body)).await;
        text(&json_of(&answer), "event_id")
    }

    /// One /sync; its answer as it came. `since` may be empty: then it is an initial one.
    pub(crate) async fn sync(&mut self, since: &str, timeout_ms: u64) -> Bytes {
        let mut path = format!("/sync?timeout={timeout_ms}");
        if !since.is_empty() {
            path.push_str("&since=");
            path.push_str(&escape(since));
        }
        self.get(&path).await
    }

    /// The token with which this person's next /sync goes on.
    pub(crate) async fn synced(&mut self) -> String {
        next_batch(&self.sync("", 0).await)
    }

    async fn request(&mut self, method: Method, path: &str, body: Option<String>) -> Bytes {
        let what = format!("{method} {path}");
        let (status, bytes) = self.attempt(method, path, body).await.unwrap_or_else(|why| {
            panic!("no answer to {what}: {why}");
        });
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned();
        assert!((200..300).contains(&status), "{what} → {status} {}", shown());
        bytes
    }

    /// A request below `/_matrix/client/v3`, to a server that may be down: its status and answer.
    pub(crate) async fn attempt(
        &mut self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(u16, Bytes), hyper::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{PREFIX}{path}"))
            .header(header::HOST, &self.door.name);
        if !self.token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        let request = request.body(body).expect("a request");
        let line = match self.line.take().filter(|line| !line.is_closed()) {
            Some(line) => self.line.insert(line),
            None => self.line.insert(call(self.door.address).await?),
        };
        line.ready().await?;
        let answer = line.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

async fn call(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, hyper::Error> {
    // A server that is not up yet is asked again until it is. The pause is the resolution with which
    // the time of a start is measured; without one, asking would take the server's processor.
    let stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(std::time::Duration::from_micros(500)).await,
        }
    };
    stream.set_nodelay(true).expect("a socket takes options");
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // How a connection ends is told to who waits for its answer.
    tokio::spawn(connection);
    Ok(sender)
}

/// The token of a /sync's answer, without parsing all of it.
pub(crate) fn next_batch(answer: &[u8]) -> String {
    const KEY: &[u8] = b"\"next_batch\":";
    let at = find(answer, KEY).expect("a /sync answers with next_batch") + KEY.len();
    let rest = &answer[at..];
    let mut quotes = rest.iter().enumerate().filter(|(_, byte)| **byte == b'"').map(|(at, _)| at);
    let (from, to) = (quotes.next().expect("a string"), quotes.next().expect("its end"));
    String::from_utf8_lossy(&rest[from + 1..to]).into_owned()
}

/// Where these bytes are in those.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

/// A segment of a path, or a value in a query.
pub(crate) fn escape(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or(Value::Null)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no string `{key}` in {value}")).to_owned()
}

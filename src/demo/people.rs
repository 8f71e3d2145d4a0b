//! One person with a client: everything through the public HTTP API.

use std::{net::SocketAddr, time::Duration};

use http::{
    HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use web::outbound::{Answer, Call, Outbound};

use super::DemoError;

/// How long anything may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// What one /sync waits for news.
const SYNC_WAIT_MS: u64 = 10_000;

pub(super) struct Person {
    pub(super) company: String,
    pub(super) user_id: String,
    name: String,
    token: String,
    outbound: Outbound,
    address: SocketAddr,
    since: Option<String>,
    transactions: u64,
}

impl Person {
    pub(super) async fn log_in(
        outbound: &Outbound,
        address: SocketAddr,
        company: &str,
        localpart: &str,
        password: &str,
    ) -> Result<Self, DemoError> {
        let mut person = Self {
            company: company.to_owned(),
            user_id: String::new(),
            name: localpart.to_owned(),
            token: String::new(),
            outbound: outbound.clone(),
            address,
            since: None,
            transactions: 0,
        };
        let login = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": localpart },
            "password": password,
            "device_id": "DEMO",
            "initial_device_display_name": "Kontor demonstration",
        });
        let session = person.ask(Method::POST, "v3/login", &login).await?;
        person.token = text(&session["access_token"]);
        person.user_id = text(&session["user_id"]);
        Ok(person)
    }

    /// Shows what this person does or sees.
    pub(super) fn tell(&self, what: &str) {
        println!("  {:<17} {:<6} {what}", self.company, self.name);
    }

    /// A request to the Client-Server API, and its JSON answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, DemoError> {
        let call = self.call(method.clone(), &format!("/_matrix/client/{path}"))?;
        let call = if body.is_null() { call } else { call.json(body)? };
        let answer = self.send(&format!("{method} {path}"), call).await?;
        Ok(answer.json()?)
    }

    pub(super) async fn upload(&self, kind: &str, file: Vec<u8>) -> Result<String, DemoError> {
        let kind = HeaderValue::from_str(kind).unwrap_or(HeaderValue::from_static("text/plain"));
        let call = self.call(Method::POST, "/_matrix/media/v3/upload?filename=plan.txt")?;
        let answer = self.send("the upload", call.body(kind, file)).await?;
        Ok(text(&answer.json::<Value>()?["content_uri"]))
    }

    pub(super) async fn download(&self, uri: &str) -> Result<Answer, DemoError> {
        let file = uri.trim_start_matches("mxc://");
        let path = format!("/_matrix/client/v1/media/download/{file}");
        self.send("the download", self.call(Method::GET, &path)?).await
    }

    /// Sends an event to a room; answers its id.
    pub(super) async fn say(
        &mut self,
        room: &str,
        kind: &str,
        content: &Value,
    ) -> Result<String, DemoError> {
        self.transactions += 1;
        let now = self.since.as_deref().unwrap_or_default().len();
        let transaction = format!("demo-{now}-{}-{}", std::process::id(), self.transactions);
        let path = format!("v3/rooms/{}/send/{kind}/{transaction}", escaped(room));
        Ok(text(&self.ask(Method::PUT, &path, content).await?["event_id"]))
    }

    /// Syncs until `find` finds something.
    pub(super) async fn wait_for<T>(
        &mut self,
        what: &str,
        find: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, DemoError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let next = timeout_at(end, self.sync()).await;
            let news = next.map_err(|_| DemoError::Late(what.to_owned()))??;
            if let Some(found) = find(&news) {
                return Ok(found);
            }
        }
    }

    async fn sync(&mut self) -> Result<Value, DemoError> {
        let path = match &self.since {
            Some(since) => format!("v3/sync?timeout={SYNC_WAIT_MS}&since={}", escaped(since)),
            None => "v3/sync".to_owned(),
        };
        let news = self.ask(Method::GET, &path, &Value::Null).await?;
        self.since = Some(text(&news["next_batch"]));
        Ok(news)
    }

    fn call(&self, method: Method, path: &str) -> Result<Call, DemoError> {
        let call = Call::new(method, &format!("https://{}{path}", self.company))?;
        // The names are not in everybody's DNS, but everybody knows where they are.
        let call = call.via(vec![self.address]).time_max(PATIENCE);
        match HeaderValue::from_str(&format!("Bearer {}", self.token)) {
            Ok(token) if !self.token.is_empty() => Ok(call.header(AUTHORIZATION, token)),
            _ => Ok(call),
        }
    }

    async fn send(&self, what: &str, call: Call) -> Result<Answer, DemoError> {
        let answer = self.outbound.send(call).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let is_json =
            answer.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        let body =
            if is_json { String::from_utf8_lossy(&answer.body).into() } else { String::new() };
        Err(DemoError::Refused { what: what.to_owned(), status: answer.status, body })
    }
}

/// A text of an answer; empty if it is none.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// One part of a path.
pub(super) fn escaped(part: &str) -> String {
    url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20")
}

//! Rooms as clients read them, on the wire.

use std::net::SocketAddr;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{http::tests::raw, testing::TestHomeserver};

const OPEN: &str = "[registration]\nenabled = true";

struct Case {
    server: TestHomeserver,
    alice: String,
    bob: String,
    room: String,
}

impl Case {
    /// A public room with alice and bob in it.
    async fn new() -> Self {
        let server = TestHomeserver::with_config(OPEN).await;
        let (alice, bob) = (server.register("alice").await, server.register("bob").await);
        let body = json!({ "preset": "public_chat", "name": "Office" });
        let (status, body) =
            server.ask("POST", "/_matrix/client/v3/createRoom", &alice, body).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let room = body["room_id"].as_str().unwrap().to_owned();
        let case = Self { server, alice, bob, room };
        case.post(&case.bob, "join", json!({})).await;
        case
    }

    async fn post(&self, token: &str, path: &str, body: Value) -> Value {
        let path = format!("/_matrix/client/v3/rooms/{}/{path}", self.room);
        let (status, body) = self.server.ask("POST", &path, token, body).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn send(&self, token: &str, transaction: &str, body: &str) -> String {
        let path =
            format!("/_matrix/client/v3/rooms/{}/send/m.room.message/{transaction}", self.room);
        let body = json!({ "msgtype": "m.text", "body": body });
        let (status, body) = self.server.ask("PUT", &path, token, body).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["event_id"].as_str().unwrap().to_owned()
    }

    async fn get(&self, token: &str, path: &str) -> Value {
        let path = format!("/_matrix/client/v3/rooms/{}/{path}", self.room);
        let (status, body) = self.server.get(&path, token).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn sync(&self, token: &str, query: &str) -> Value {
        let (status, body) =
            self.server.get(&format!("/_matrix/client/v3/sync?{query}"), token).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }
}

#[tokio::test]
async fn a_message_comes_to_everybody_and_its_transaction_to_its_sender() {
    let case = Case::new().await;
    let start = case.sync(&case.bob, "").await;
    let joined = &start["rooms"]["join"][&case.room];
    assert_eq!(joined["summary"]["m.joined_member_count"], 2);
    let since = start["next_batch"].as_str().unwrap();
    let event = case.send(&case.alice, "t1", "hello").await;
    for (token, transaction) in [(&case.bob, Value::Null), (&case.alice, json!("t1"))] {
        let news = case.sync(token, &format!("since={since}&timeout=30000")).await;
        let timeline = news["rooms"]["join"][&case.room]["timeline"]["events"].clone();
        let shown = timeline.as_array().unwrap().last().unwrap().clone();
        assert_eq!(shown["event_id"], event.as_str());
        assert_eq!(shown["unsigned"]["transaction_id"], transaction);
        assert!(shown.get("room_id").is_none());
    }
}

#[tokio::test]
async fn a_redacted_message_is_shown_with_its_redaction() {
    let case = Case::new().await;
    let event = case.send(&case.alice, "t1", "regretted").await;
    let path = format!("/_matrix/client/v3/rooms/{}/redact/{event}/t2", case.room);
    let (status, body) = case.server.ask("PUT", &path, &case.alice, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let shown = case.get(&case.bob, &format!("event/{event}")).await;
    assert_eq!(shown["content"], json!({}));
    assert_eq!(shown["unsigned"]["redacted_because"]["type"], "m.room.redaction");
}

#[tokio::test]
async fn the_past_is_read_page_by_page() {
    let case = Case::new().await;
    for number in 0..5 {
        case.send(&case.alice, &format!("t{number}"), &number.to_string()).await;
    }
    let page = case.get(&case.bob, "messages?dir=b&limit=3").await;
    let bodies: Vec<&Value> =
        page["chunk"].as_array().unwrap().iter().map(|event| &event["content"]["body"]).collect();
    assert_eq!(bodies, ["4", "3", "2"]);
    let end = page["end"].as_str().unwrap();
    let rest = case.get(&case.bob, &format!("messages?dir=b&limit=100&from={end}")).await;
    let rest = rest["chunk"].as_array().unwrap();
    assert_eq!(rest[0]["content"]["body"], "1");
    assert_eq!(rest.last().unwrap()["type"], "m.room.create");
    let filter = "messages?dir=b&filter=%7B%22types%22%3A%5B%22m.room.name%22%5D%7D";
    let names = case.get(&case.bob, filter).await;
    assert_eq!(names["chunk"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn state_and_members_are_read_in_every_spelling() {
    let case = Case::new().await;
    for path in ["state/m.room.name", "state/m.room.name/"] {
        assert_eq!(case.get(&case.bob, path).await, json!({ "name": "Office" }));
    }
    let event = case.get(&case.bob, "state/m.room.name?format=event").await;
    assert_eq!(event["room_id"], case.room.as_str());
    let members = case.get(&case.bob, "members?membership=join").await;
    assert_eq!(members["chunk"].as_array().unwrap().len(), 2);
    let joined = case.get(&case.bob, "joined_members").await;
    assert_eq!(joined["joined"].as_object().unwrap().len(), 2);
    let (_, rooms) = case.server.get("/_matrix/client/v3/joined_rooms", &case.bob).await;
    assert_eq!(rooms, json!({ "joined_rooms": [case.room] }));
}

#[tokio::test]
async fn a_stranger_is_refused_in_the_words_of_the_specification() {
    let case = Case::new().await;
    let mallory = case.server.register("mallory").await;
    let event = case.send(&case.alice, "t1", "secret").await;
    for (path, status, errcode) in [
        ("messages?dir=b".to_owned(), 403, "M_FORBIDDEN"),
        ("state".to_owned(), 403, "M_FORBIDDEN"),
        ("members".to_owned(), 403, "M_FORBIDDEN"),
        (format!("event/{event}"), 404, "M_NOT_FOUND"),
        (format!("context/{event}"), 404, "M_NOT_FOUND"),
        ("messages?dir=x".to_owned(), 400, "M_INVALID_PARAM"),
        // Older clients leave the direction out.
        ("messages".to_owned(), 403, "M_FORBIDDEN"),
    ] {
        let path = format!("/_matrix/client/v3/rooms/{}/{path}", case.room);
        let (answered, body) = case.server.get(&path, &mallory).await;
        assert_eq!(
            (answered.as_u16(), body["errcode"].as_str().unwrap()),
            (status, errcode),
            "{path}"
        );
    }
    let (status, body) = case.server.get("/_matrix/client/v3/sync?since=nonsense", &mallory).await;
    assert_eq!((status.as_u16(), body["errcode"].as_str().unwrap()), (400, "M_INVALID_PARAM"));
}

#[tokio::test]
async fn a_device_that_is_logged_out_is_told_nothing_more() {
    let case = Case::new().await;
    let (_, start) = case.server.get("/_matrix/client/v3/sync", &case.bob).await;
    let next = start["next_batch"].as_str().unwrap();
    let path = format!("/_matrix/client/v3/sync?timeout=60000&since={next}");
    let waiting = case.server.get(&path, &case.bob);
    let leaving = async {
        tokio::task::yield_now().await;
        let logout = "/_matrix/client/v3/logout";
        let (status, body) = case.server.ask("POST", logout, &case.bob, json!({})).await;
        assert!(status.is_success(), "{body}");
        case.send(&case.alice, "t1", "not for a device that is gone").await
    };
    let ((status, body), _) = tokio::join!(waiting, leaving);
    assert_eq!((status.as_u16(), &body["errcode"]), (401, &json!("M_UNKNOWN_TOKEN")));
}

#[tokio::test]
async fn the_state_after_a_timeline_has_the_name_by_which_it_was_asked_for() {
    let case = Case::new().await;
    let (stable, proposed) = ("use_state_after=true", "org.matrix.msc4222.use_state_after=true");
    let names = ["state", "state_after", "org.matrix.msc4222.state_after"];
    for (query, name) in [
        ("", names[0]),
        (stable, names[1]),
        (proposed, names[2]),
        (&*format!("{stable}&{proposed}"), names[1]),
    ] {
        let answer = case.sync(&case.alice, query).await;
        let room = &answer["rooms"]["join"][&case.room];
        let told: Vec<_> = names.iter().filter(|name| room.get(**name).is_some()).collect();
        assert_eq!(told, [&name], "{query}");
    }
}

/// Asks on a connection of its own, on which who waits is parked.
fn asks(listening: SocketAddr, token: &str, path: &str, body: Value) -> JoinHandle<Value> {
    let (method, body) = match body {
        Value::Null => ("GET", String::new()),
        body => ("POST", body.to_string()),
    };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: acme.example\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    tokio::spawn(async move {
        let answer = raw(listening, &request).await;
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    })
}

#[tokio::test]
async fn no_news_is_lost_on_those_who_are_parked() {
    let case = Case::new().await;
    let listening = case.server.listen().await;
    let sliding = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=60000";
    let list = json!({ "lists": { "all": {
        "ranges": [[0, 9]], "timeline_limit": 1, "required_state": []
    } } });
    let mut since = case.sync(&case.bob, "").await["next_batch"].as_str().unwrap().to_owned();
    let start = asks(listening, &case.bob, sliding, list.clone()).await.unwrap();
    let mut position = start["pos"].as_str().unwrap().to_owned();
    for round in 0..40 {
        let path = format!("/_matrix/client/v3/sync?timeout=60000&since={since}");
        let syncing = asks(listening, &case.bob, &path, Value::Null);
        let path = format!("{sliding}&pos={position}");
        let sliding = asks(listening, &case.bob, &path, list.clone());
        // Comes before they ask, after they are parked, and at every moment between.
        for _ in 0..round * 3 {
            tokio::task::yield_now().await;
        }
        let event = case.send(&case.alice, &format!("t{round}"), "news").await;
        let (synced, slid) = (syncing.await.unwrap(), sliding.await.unwrap());
        let timeline = &synced["rooms"]["join"][&case.room]["timeline"]["events"];
        assert_eq!(timeline[0]["event_id"], event.as_str(), "{synced}");
        assert_eq!(slid["rooms"][&case.room]["timeline"][0]["event_id"], event.as_str(), "{slid}");
        synced["next_batch"].as_str().unwrap().clone_into(&mut since);
        slid["pos"].as_str().unwrap().clone_into(&mut position);
    }
}

#[tokio::test]
async fn who_comes_back_from_being_parked_does_not_show_himself_again() {
    let case = Case::new().await;
    let listening = case.server.listen().await;
    let shown = "set_presence=unavailable";
    case.sync(&case.bob, shown).await;
    let since = case.sync(&case.bob, shown).await["next_batch"].as_str().unwrap().to_owned();
    let path = format!("/_matrix/client/v3/sync?{shown}&timeout=60000&since={since}");
    let syncing = asks(listening, &case.bob, &path, Value::Null);
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let status = "/_matrix/client/v3/presence/@bob:acme.example/status";
    let body = json!({ "presence": "online" });
    let (answered, body) = case.server.ask("PUT", status, &case.bob, body).await;
    assert_eq!(answered, StatusCode::OK, "{body}");
    let answer = syncing.await.unwrap();
    assert_eq!(answer["presence"]["events"][0]["content"]["presence"], "online", "{answer}");
}

#[tokio::test]
async fn those_who_are_parked_are_sent_away_when_the_homeserver_stops() {
    let case = Case::new().await;
    let listening = case.server.listen().await;
    let since = case.sync(&case.bob, "").await["next_batch"].as_str().unwrap().to_owned();
    // That he is there is no news to him, but shows that he was let in.
    let filter = "filter=%7B%22presence%22:%7B%22not_types%22:%5B%22*%22%5D%7D%7D";
    let shown = "set_presence=unavailable";
    let path = format!("/_matrix/client/v3/sync?{filter}&{shown}&timeout=60000&since={since}");
    let syncing = asks(listening, &case.bob, &path, Value::Null);
    let status = "/_matrix/client/v3/presence/@bob:acme.example/status";
    while case.server.get(status, &case.bob).await.1["presence"] != "unavailable" {
        tokio::task::yield_now().await;
    }
    case.server.homeservers.shared().drain.cancel();
    assert_eq!(syncing.await.unwrap()["rooms"]["join"], json!({}));
}

//! Appservices: programs that bring users of their own.
//!
//! Whom they are is read when a process starts, so each case has one of its own.

use crate::{
    case::{Case, case},
    stage::{Company, Stage},
    words::{becomes, list, public_room, text},
};
use harness::{Account, Appservice, Call, Options};
use reqwest::Method;
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestJoinFederatedRoomFromApplicationServiceBridgeUser", bridge_user_joins),
        case("TestJumpToDateEndpoint", jump_to_date),
        case("an appservice acts for users of its namespaces and nobody else does", masks),
    ]
}

const TOKEN: &str = "what-the-bridge-knows";

/// A company with an appservice that has all users that begin with `bridge_`, and aliases too.
async fn bridged(stage: &Stage) -> (Company, harness::Server) {
    let appservice = Appservice {
        as_token: TOKEN.into(),
        sender: "the-bridge-user".into(),
        users: "@bridge_.*".into(),
        aliases: "#bridge_.*".into(),
    };
    let options = Options { appservice: Some(appservice), ..Options::default() };
    let server = stage.process_with(options).await;
    (stage.company_of(&server, server.name()), server)
}

/// A request of the appservice, for one of its users if one is named.
fn bridge(company: &Company, method: Method, path: &[&str], user: Option<&str>) -> Call {
    let path = [&["_matrix", "client", "v3"], path].concat();
    let call = company.call(method, &path).token(TOKEN);
    match user {
        Some(user) => call.query(&[("user_id", user)]),
        None => call,
    }
}

async fn register(company: &Company, token: &str, username: &str) -> harness::Answer {
    let body = json!({
        "type": "m.login.application_service", "username": username, "inhibit_login": true,
    });
    company.post(&["register"], &body).token(token).answer().await
}

async fn bridge_user_joins(stage: Stage) {
    let (company, _server) = bridged(&stage).await;
    let other = stage.process().await;
    let there = stage.company_of(&other, other.name());
    let carol = there.person("carol").await;
    let room = public_room(&carol).await;
    let call = bridge(&company, Method::POST, &["join", &room], None);
    call.query(&[("server_name", &there.name), ("via", &there.name)]).json(&json!({})).ok().await;
    let members = carol.get(&["rooms", &room, "joined_members"]).ok().await;
    let bridge_user = company.user_id("the-bridge-user");
    assert!(members["joined"].get(&bridge_user).is_some(), "{members}");
}

async fn masks(stage: Stage) {
    let (company, _server) = bridged(&stage).await;
    let alice = company.person("alice").await;
    let (ghost, stranger) = (company.user_id("bridge_ghost"), alice.user_id.clone());
    let whoami = |user: Option<&str>| bridge(&company, Method::GET, &["account", "whoami"], user);
    stage
        .row("its own user is there", async {
            let own = company.user_id("the-bridge-user");
            assert_eq!(whoami(None).ok().await["user_id"], own);
        })
        .await;
    stage
        .row("it registers users of its own, and no others", async {
            whoami(Some(&ghost)).answer().await.refused(403, "M_FORBIDDEN");
            let made = register(&company, TOKEN, "bridge_ghost").await.ok();
            assert_eq!((&made["user_id"], made.get("access_token")), (&json!(ghost), None));
            register(&company, TOKEN, "somebody").await.refused(400, "M_EXCLUSIVE");
            register(&company, "another-token", "bridge_2").await.refused(401, "M_UNKNOWN_TOKEN");
            let body = json!({
                "username": "bridge_3", "password": "a good password",
                "auth": { "type": "m.login.dummy" },
            });
            company.post(&["register"], &body).answer().await.refused(400, "M_EXCLUSIVE");
        })
        .await;
    stage
        .row("it acts for them, and for no others", async {
            let room = public_room(&alice).await;
            let join = bridge(&company, Method::POST, &["join", &room], Some(&ghost));
            join.json(&json!({})).ok().await;
            let text = json!({ "msgtype": "m.text", "body": "boo" });
            let path = ["rooms", &room, "send", "m.room.message", "1"];
            let sent = bridge(&company, Method::PUT, &path, Some(&ghost)).json(&text).ok().await;
            let event = alice.event(&room, sent["event_id"].as_str().expect("an id")).await;
            assert_eq!(event.expect("the event")["sender"], ghost);
            whoami(Some(&stranger)).answer().await.refused(403, "M_FORBIDDEN");
            let asked = alice.get(&["account", "whoami"]).query(&[("user_id", &ghost)]).ok().await;
            assert_eq!(asked["user_id"], alice.user_id, "nobody else may");
        })
        .await;
    stage
        .row("its users log in without a password", async {
            let body = json!({
                "type": "m.login.application_service",
                "identifier": { "type": "m.id.user", "user": "bridge_ghost" },
            });
            let session = company.post(&["login"], &body).token(TOKEN).ok().await;
            let ghost = company.logged_in(&session);
            assert_eq!(ghost.get(&["account", "whoami"]).ok().await["user_id"], ghost.user_id);
            let refused = company.post(&["login"], &body).token("another-token").answer().await;
            assert!(refused.status.is_client_error(), "{refused}");
        })
        .await;
    stage
        .row("its aliases are its own", async {
            let room = public_room(&alice).await;
            let alias = format!("#bridge_hall:{}", company.name);
            let body = json!({ "room_id": room });
            let path = ["directory", "room", alias.as_str()];
            alice.put(&path, &body).answer().await.refused(400, "M_EXCLUSIVE");
            let join = bridge(&company, Method::POST, &["join", &room], None);
            join.json(&json!({})).ok().await;
            bridge(&company, Method::PUT, &path, None).json(&body).ok().await;
            assert_eq!(company.get(&path).ok().await["room_id"], room);
        })
        .await;
}

/// The event nearest to a time, looking in a direction; empty if there is none.
async fn at_time(who: &Account, room: &str, ms: u64, direction: &str) -> String {
    let path = ["_matrix", "client", "v1", "rooms", room, "timestamp_to_event"];
    let query = [("ts", ms.to_string()), ("dir", direction.to_owned())];
    let query: Vec<_> = query.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let answer = who.call_at(Method::GET, &path).query(&query).answer().await;
    if answer.status == 404 {
        answer.refused(404, "M_NOT_FOUND");
        return String::new();
    }
    text(&answer.ok(), "/event_id")
}

async fn jump_to_date(stage: Stage) {
    let (company, _server) = bridged(&stage).await;
    let other = stage.process().await;
    let carol = stage.company_of(&other, other.name()).person("carol").await;
    let (alice, eve) = (company.person("alice").await, company.person("eve").await);
    let room = public_room(&alice).await;
    let (first, last) = (alice.say(&room, "one").await, alice.say(&room, "two").await);
    let sent_ms = |event: &Value| event["origin_server_ts"].as_u64().expect("a time");
    let first_ms = sent_ms(&alice.event(&room, &first).await.expect("it"));
    let last_ms = sent_ms(&alice.event(&room, &last).await.expect("it"));
    stage
        .row("forwards and backwards", async {
            assert_eq!(at_time(&alice, &room, last_ms + 1, "b").await, last);
            assert_eq!(at_time(&alice, &room, last_ms + 60_000, "f").await, "");
            assert_eq!(at_time(&alice, &room, 1_000, "b").await, "");
            let state = alice.state(&room).await;
            let create = state.id("m.room.create", "").expect("a creation");
            assert_eq!(at_time(&alice, &room, 1_000, "f").await, create);
            if first_ms < last_ms {
                assert_eq!(at_time(&alice, &room, first_ms + 1, "f").await, last);
            }
        })
        .await;
    stage
        .row("should not be able to query a public room you are not a member of", async {
            let path = ["_matrix", "client", "v1", "rooms", &room, "timestamp_to_event"];
            let call = eve.call_at(Method::GET, &path).query(&[("ts", "1"), ("dir", "f")]);
            call.answer().await.refused(403, "M_FORBIDDEN");
        })
        .await;
    // Imported by the appservice, which may choose the time of its events.
    bridge(&company, Method::POST, &["join", &room], None).json(&json!({})).ok().await;
    let import = async |id: &str, ms: u64| {
        let path = ["rooms", &room, "send", "m.room.message", id];
        let call = bridge(&company, Method::PUT, &path, None).query(&[("ts", &ms.to_string())]);
        let sent = call.json(&json!({ "msgtype": "m.text", "body": id })).ok().await;
        text(&sent, "/event_id")
    };
    stage
        .row("of events of the same time, the nearest in the room is found", async {
            let ms = last_ms + 3_600_000;
            let (one, two) = (import("same time 1", ms).await, import("same time 2", ms).await);
            assert_eq!(at_time(&alice, &room, ms + 1, "b").await, two);
            assert_eq!(at_time(&alice, &room, ms, "f").await, one);
        })
        .await;
    stage
        .row("over federation", async {
            carol.join(&room, &[&company.name]).await;
            assert_eq!(at_time(&carol, &room, last_ms, "b").await, last, "from before her join");
            becomes(&alice, &room, &carol, "join").await;
            const LONG_AGO_MS: u64 = 1_641_168_000_000;
            let old = import("an old one", LONG_AGO_MS).await;
            carol.until_event(&mut harness::View::default(), &room, &old).await;
            assert_eq!(at_time(&carol, &room, LONG_AGO_MS + 60_000, "b").await, old);
            let around = carol.get(&["rooms", &room, "context", &old]).ok().await;
            assert!(!list(&around, "/events_before").is_empty(), "{around}");
        })
        .await;
}

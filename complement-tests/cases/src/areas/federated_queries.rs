//! Keys, profiles, redactions and rules between servers.

use super::federated_events::guest;
use crate::{
    case::{Case, case},
    stage::Stage,
    words::{public_room, text},
};
use harness::View;
use reqwest::Method;
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestInboundFederationKeys", keys),
        case("TestOutboundFederationProfile", outbound_profile),
        case("TestInboundFederationProfile", inbound_profile),
        case("TestFederationRedactSendsWithoutEvent", redaction_of_the_unknown),
        case("TestACLs", acls),
        case("TestACLsForEDUs", acls_for_edus),
    ]
}

async fn keys(stage: Stage) {
    let company = stage.company().await;
    let document = company.call(Method::GET, &["_matrix", "key", "v2", "server"]).ok().await;
    assert_eq!(document["server_name"], company.name);
    assert!(document["valid_until_ts"].as_u64().is_some_and(|until| until > 1_700_000_000_000));
    let keys = document["verify_keys"].as_object().expect("keys");
    assert!(!keys.is_empty(), "{document}");
    let known = keys.iter().map(|(id, key)| {
        let key = ruma::serde::Base64::parse(text(key, "/key")).expect("base64");
        (id.clone(), key)
    });
    let known = [(company.name.clone(), known.collect())].into();
    let object = serde_json::from_value(document.clone()).expect("canonical JSON");
    ruma::signatures::verify_json(&known, &object).unwrap_or_else(|e| panic!("{e}: {document}"));
}

async fn outbound_profile(stage: Stage) {
    let alice = stage.person().await;
    let peer = stage.peer().await;
    let charlie = peer.user("charlie");
    let asked_for = charlie.clone();
    peer.answer(Method::GET, "query/profile", move |asked| {
        assert_eq!(asked.query("user_id"), [asked_for.as_str()]);
        (200, json!({ "displayname": "Charles", "avatar_url": "mxc://example.org/charles" }))
    });
    let name = alice.get(&["profile", &charlie, "displayname"]).ok().await;
    assert_eq!(name["displayname"], "Charles");
}

async fn inbound_profile(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let peer = stage.peer().await;
    let path = ["profile", alice.user_id.as_str(), "displayname"];
    alice.put(&path, &json!({ "displayname": "Anna" })).ok().await;
    let ask = async |user: &str| {
        let query = [("user_id", user), ("field", "displayname")];
        peer.get(&company, &["v1", "query", "profile"], &query).await
    };
    stage
        .row("Inbound federation can query profile data", async {
            assert_eq!(ask(&alice.user_id).await.ok()["displayname"], "Anna");
        })
        .await;
    stage
        .row("Non-numeric ports in server names are rejected", async {
            let answer = ask("@alice:localhost:http").await;
            assert_eq!(answer.status, 400, "{answer}");
        })
        .await;
    stage
        .row("nobody is not found", async {
            ask(&company.user_id("nobody")).await.refused(404, "M_NOT_FOUND");
        })
        .await;
    stage
        .row("who does not sign is not answered", async {
            let path = ["_matrix", "federation", "v1", "query", "profile"];
            let query = [("user_id", alice.user_id.as_str())];
            let answer = company.call(Method::GET, &path).query(&query).answer().await;
            answer.refused(401, "M_UNAUTHORIZED");
        })
        .await;
}

async fn redaction_of_the_unknown(stage: Stage) {
    let (_, alice, peer, room) = guest(&stage, "10").await;
    let hidden = peer.write(&room, "charlie", "m.room.message", None, json!({ "body": "hidden" }));
    let redaction = alice.put(&["rooms", &room, "redact", &hidden.id, "t"], &json!({}));
    let id = text(&redaction.ok().await, "/event_id");
    let is_it = |pdu: &Value| pdu["type"] == "m.room.redaction";
    let told = peer.heard().until_pdu("the redaction", is_it).await;
    assert_eq!(told["redacts"], hidden.id);
    assert!(peer.copy_of(&room).event(&id).is_some());
}

async fn acls(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let peer = stage.peer().await;
    let (shut, open) = (public_room(&alice).await, public_room(&alice).await);
    for room in [&shut, &open] {
        peer.join(&company, room, "charlie").await;
    }
    let acl = json!({ "allow": ["*"], "deny": ["127.0.1.*"], "allow_ip_literals": true });
    alice.set_state(&shut, "m.room.server_acl", "", &acl).await;
    let unheard = peer.say(&company, &shut, "charlie", "let me in").await;
    let heard = peer.say(&company, &open, "charlie", "here I am").await;
    stage
        .row("events are refused in that room, and only there", async {
            alice.until_event(&mut View::default(), &open, &heard.id).await;
            assert_eq!(alice.event(&shut, &unheard.id).await, None);
        })
        .await;
    let said = alice.say(&shut, "among ourselves").await;
    for (row, path) in [
        ("make_join is refused", ["v1", "make_join", shut.as_str(), &peer.user("dora")]),
        ("make_leave is refused", ["v1", "make_leave", shut.as_str(), &peer.user("charlie")]),
        ("event_auth is refused", ["v1", "event_auth", shut.as_str(), &said]),
    ] {
        stage
            .row(row, async {
                peer.get(&company, &path, &[("ver", "12")]).await.refused(403, "M_FORBIDDEN");
            })
            .await;
    }
    for (row, path) in [
        ("state_ids is refused", "state_ids"),
        ("state is refused", "state"),
        ("backfill is refused", "backfill"),
    ] {
        stage
            .row(row, async {
                let query = [("event_id", said.as_str()), ("v", &said), ("limit", "5")];
                let answer = peer.get(&company, &["v1", path, &shut], &query).await;
                answer.refused(403, "M_FORBIDDEN");
            })
            .await;
    }
}

async fn acls_for_edus(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let peer = stage.peer().await;
    let charlie = peer.user("charlie");
    let (shut, open) = (public_room(&alice).await, public_room(&alice).await);
    for room in [&shut, &open] {
        peer.join(&company, room, "charlie").await;
    }
    let acl = json!({ "allow": ["*"], "deny": ["127.0.1.*"], "allow_ip_literals": true });
    alice.set_state(&shut, "m.room.server_acl", "", &acl).await;
    let in_shut = alice.say(&shut, "to be read").await;
    let in_open = alice.say(&open, "to be read").await;
    let mut view = View::default();
    alice.sync(&mut view, false).await;
    // What comes second is heard, so what came first was left out on purpose.
    for (room, event) in [(&shut, &in_shut), (&open, &in_open)] {
        let typing = json!({ "room_id": room, "user_id": charlie, "typing": true });
        peer.send_edu(&company, "m.typing", typing).await;
        let read = json!({ "event_ids": [event], "data": { "ts": 1_700_000_000_000_u64 } });
        let receipt = json!({ room: { "m.read": { charlie.as_str(): read } } });
        peer.send_edu(&company, "m.receipt", receipt).await;
    }
    alice
        .until(&mut view, "Charlie in the open room", |view| {
            let open = &view.rooms[&open];
            (open.typing.contains(&charlie) && has_read(view, &in_open)).then_some(())
        })
        .await;
    assert!(view.rooms[&shut].typing.is_empty());
    assert!(!has_read(&view, &in_shut));
}

fn has_read(view: &View, event: &str) -> bool {
    view.rooms.values().any(|room| {
        room.receipts
            .iter()
            .any(|((.., user, _), (read, _))| read == event && user.contains("charlie"))
    })
}

//! Joining and leaving through other servers, good ones and bad ones.

use crate::{
    case::{Case, case},
    peer::Peer,
    stage::{Company, Stage},
    words::{membership, public_room, text},
};
use harness::{View, eventually};
use reqwest::Method;
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestJoinViaRoomIDAndServerName", via_server),
        case("TestJoinFederatedRoomFailOver", fail_over),
        case("TestJoinFederatedRoomWithUnverifiableEvents", unverifiable),
        case("TestBannedUserCannotSendJoin", banned),
        case("TestCannotSendNonJoinViaSendJoinV1", |stage| only(stage, "v1", "send_join", "join")),
        case("TestCannotSendNonJoinViaSendJoinV2", |stage| only(stage, "v2", "send_join", "join")),
        case("TestCannotSendNonLeaveViaSendLeaveV1", |stage| {
            only(stage, "v1", "send_leave", "leave")
        }),
        case("TestCannotSendNonLeaveViaSendLeaveV2", |stage| {
            only(stage, "v2", "send_leave", "leave")
        }),
        case("TestCannotSendNonKnockViaSendKnock", |stage| {
            only(stage, "v1", "send_knock", "knock")
        }),
        case("TestCannotSendKnockViaSendKnockInMSC3787Room", |stage| {
            only(stage, "v1", "send_knock", "knock_restricted")
        }),
    ]
}

async fn via_server(stage: Stage) {
    let [here, there] = stage.companies().await;
    let (alice, bob) = (here.person("alice").await, there.person("bob").await);
    let peer = stage.peer().await;
    let room = peer.create_room("11", "charlie");
    assert_eq!(alice.join(&room, &[&peer.name]).await, room);
    peer.say(&here, &room, "charlie", "welcome").await;
    // The peer lets nobody in any more; Alice's server does, and the peer hears of it.
    for part in ["make_join", "send_join"] {
        for method in [Method::GET, Method::PUT] {
            peer.answer(method, part, |_| (403, json!({ "errcode": "M_FORBIDDEN" })));
        }
    }
    assert_eq!(bob.join(&room, &[&here.name]).await, room);
    assert_eq!(membership(&alice, &room, &bob).await.as_deref(), Some("join"));
    let is_join = |pdu: &Value| pdu["state_key"] == bob.user_id;
    peer.heard().until_pdu("Bob's join", is_join).await;
}

async fn fail_over(stage: Stage) {
    let [here, there] = stage.companies().await;
    let (alice, bob) = (here.person("alice").await, there.person("bob").await);
    let peer = stage.peer().await;
    let room = public_room(&alice).await;
    // The peer was never there and says so.
    assert_eq!(bob.join(&room, &[&peer.name, &here.name]).await, room);
    assert!(peer.heard().times_asked("make_join") > 0);
    let said = bob.say(&room, "I came by another way").await;
    alice.until_event(&mut View::default(), &room, &said).await;
}

/// Spoils an event of a server.
type Spoil = fn(&mut Value, &str);

/// Somebody whose server cannot be asked, or who signs badly, is in the room before Alice comes.
async fn unverifiable(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let rows: [(&str, Spoil); 3] = [
        ("/send_join response missing signatures shouldn't block room join", |pdu, _| {
            pdu["signatures"] = json!({});
        }),
        ("/send_join response with bad signatures shouldn't block room join", |pdu, server| {
            pdu["signatures"] = json!({ server: { "ed25519:peer": "A".repeat(86) } });
        }),
        ("/send_join response with unobtainable keys shouldn't block room join", |pdu, server| {
            pdu["signatures"] = json!({ server: { "ed25519:nobody_knows": "A".repeat(86) } });
        }),
    ];
    for (row, spoil) in rows {
        stage
            .row(row, async {
                let peer = stage.peer().await;
                let room = peer.create_room("11", "charlie");
                let good = peer.write(
                    &room,
                    "charlie",
                    "m.room.name",
                    Some(""),
                    json!({ "name": "Good" }),
                );
                let bad = peer.write(
                    &room,
                    "charlie",
                    "m.room.topic",
                    Some(""),
                    json!({ "topic": "Bad" }),
                );
                let server = peer.name.clone();
                peer.room(&room, |room| {
                    let event = room.events.iter_mut().find(|event| event.id == bad.id);
                    spoil(&mut event.expect("it was written").pdu, &server);
                });
                alice.join(&room, &[&peer.name]).await;
                eventually("the room's good state", async || {
                    let state = alice.state(&room).await;
                    let id = |kind: &str| state.0.get(&(kind.to_owned(), String::new())).cloned();
                    assert_eq!(id("m.room.topic"), None);
                    (id("m.room.name")? == good.id).then_some(())
                })
                .await;
            })
            .await;
    }
}

async fn banned(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let peer = stage.peer().await;
    let room = public_room(&alice).await;
    let (join, _) = peer.make_join(&company, &room, "charlie").await;
    alice.moderate(&room, "ban", &peer.user("charlie")).await.ok();
    stage
        .row("a join that he was given before does not bring him in", async {
            let path = ["v2", "send_join", &room, &join.id];
            // It was good when it was written: a server may take it, and must not act upon it.
            peer.put(&company, &path, &[], &join.pdu).await;
            assert_eq!(alice.event(&room, &join.id).await, None);
        })
        .await;
    stage
        .row("a join that he made of another's is refused", async {
            let template = ["v1", "make_join", &room, &peer.user("dora")];
            let made = peer.get(&company, &template, &[("ver", "12"), ("ver", "11")]).await.ok();
            let mut draft = made["event"].clone();
            draft["sender"] = json!(peer.user("charlie"));
            draft["state_key"] = json!(peer.user("charlie"));
            let join = peer.sign_template(&text(&made, "/room_version"), draft);
            let path = ["v2", "send_join", &room, &join.id];
            let answer = peer.put(&company, &path, &[], &join.pdu).await;
            answer.refused(403, "M_FORBIDDEN");
        })
        .await;
    stage
        .row("he gets no new one", async {
            let path = ["v1", "make_join", &room, &peer.user("charlie")];
            let answer = peer.get(&company, &path, &[("ver", "12"), ("ver", "11")]).await;
            answer.refused(403, "M_FORBIDDEN");
        })
        .await;
    let content = alice.state_content(&room, "m.room.member", &peer.user("charlie")).await;
    assert_eq!(text(&content.expect("his membership"), "/membership"), "ban");
}

/// Everything but the right membership event is refused.
async fn only(stage: Stage, version: &'static str, endpoint: &'static str, how: &'static str) {
    let (wanted, join_rule) = match how {
        "knock_restricted" => ("knock", "knock_restricted"),
        "knock" => ("knock", "knock"),
        _ => (how, "public"),
    };
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let peer = stage.peer().await;
    let rule = json!({
        "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": join_rule, "allow": [] },
    });
    let room = alice.create_room(&json!({ "room_version": "11", "initial_state": [rule] })).await;
    if wanted == "leave" {
        peer.join(&company, &room, "charlie").await;
    }
    let template = template(&peer, &company, &room, wanted).await;
    let charlie = peer.user("charlie");
    let rows: [(&str, Value); 5] = [
        (
            "a message",
            json!({ "type": "m.room.message", "state_key": null, "content": { "body": "hello" } }),
        ),
        (
            "state that is no membership",
            json!({ "type": "m.room.name", "state_key": "", "content": { "name": "mine" } }),
        ),
        ("another membership", json!({ "content": { "membership": "invite" } })),
        ("a membership without a state key", json!({ "state_key": null })),
        ("the membership of somebody else", json!({ "state_key": alice.user_id })),
    ];
    let before = alice.state(&room).await;
    for (row, change) in rows {
        stage
            .row(row, async {
                let mut draft = template.clone();
                for (key, value) in change.as_object().expect("an object") {
                    draft[key] = value.clone();
                }
                draft.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
                let event = peer.sign_template("11", draft);
                let answer =
                    put(&peer, &company, &[version, endpoint, &room, &event.id], &event.pdu).await;
                assert!(matches!(answer.status.as_u16(), 400 | 403), "{answer}");
                assert!(
                    !answer.errcode().is_empty() && answer.errcode() != "M_UNRECOGNIZED",
                    "{answer}"
                );
            })
            .await;
    }
    assert_eq!(alice.state(&room).await, before);
    stage
        .row("the right one is taken", async {
            let event = peer.sign_template("11", template.clone());
            put(&peer, &company, &[version, endpoint, &room, &event.id], &event.pdu).await.ok();
            let is = alice.state_content(&room, "m.room.member", &charlie).await;
            assert_eq!(text(&is.expect("his membership"), "/membership"), wanted);
        })
        .await;
}

async fn put(peer: &Peer, to: &Company, path: &[&str], pdu: &Value) -> harness::Answer {
    peer.put(to, path, &[], pdu).await
}

async fn template(peer: &Peer, to: &Company, room: &str, wanted: &str) -> Value {
    let endpoint = format!("make_{wanted}");
    let path = ["v1", &endpoint, room, &peer.user("charlie")];
    peer.get(to, &path, &[("ver", "11")]).await.ok()["event"].clone()
}

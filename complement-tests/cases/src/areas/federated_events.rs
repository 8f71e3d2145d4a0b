//! What servers tell each other of a room's events.

use crate::{
    case::{Case, case},
    peer::Peer,
    stage::{Company, Stage},
    words::{each, list, public_room, sync, text},
};
use harness::{Account, View};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestOutboundFederationSend", outbound_send),
        case("TestEventAuth", event_auth),
        case("TestGetMissingEventsGapFilling", gap_filling),
        case("TestInboundCanReturnMissingEvents", missing_events),
        case("TestInboundFederationRejectsEventsWithRejectedAuthEvents", rejected_auth_events),
        case("TestUnrejectRejectedEvents", unreject),
        case("TestNetworkPartitionOrdering", partition),
        case("a bad event spoils no other of its transaction", bad_company),
    ]
}

/// Alice in a room of a peer.
pub async fn guest(stage: &Stage, version: &str) -> (Company, Account, Peer, String) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let peer = stage.peer().await;
    let room = peer.create_room(version, "charlie");
    alice.join(&room, &[&peer.name]).await;
    (company, alice, peer, room)
}

async fn outbound_send(stage: Stage) {
    let (_, alice, peer, room) = guest(&stage, "12").await;
    let said = alice.say(&room, "greetings from afar").await;
    let is_said = |pdu: &Value| pdu["content"]["body"] == "greetings from afar";
    let pdu = peer.heard().until_pdu("what Alice said", is_said).await;
    assert_eq!((&pdu["sender"], &pdu["room_id"]), (&json!(alice.user_id), &json!(room)));
    let known = peer.copy_of(&room);
    assert!(known.event(&said).is_some(), "its id is not {said}: {pdu}");
    for parent in list(&pdu, "/prev_events") {
        assert!(known.event(parent.as_str().expect("an id")).is_some(), "{parent} is unknown");
    }
}

async fn event_auth(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let peer = stage.peer().await;
    let room = alice.create_room(&json!({ "preset": "public_chat", "room_version": "11" })).await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "no reason for anything" })).await;
    peer.join(&company, &room, "charlie").await;
    let known = peer.copy_of(&room);
    let join = known.state_event("m.room.member", &peer.user("charlie")).expect("the join").clone();
    let levels = known.state_event("m.room.power_levels", "").expect("power levels").clone();
    for (row, event) in [
        ("returns the auth chain for the requested event", &join),
        ("returns auth events for the requested event", &levels),
    ] {
        stage
            .row(row, async {
                let path = ["v1", "event_auth", &room, &event.id];
                let answer = peer.get(&company, &path, &[]).await.ok();
                let mut chain = list(&answer, "/auth_chain").to_vec();
                let mut wanted = known.auth_chain(std::slice::from_ref(event));
                assert!(!wanted.is_empty());
                chain.sort_by_key(|pdu| pdu["hashes"].to_string());
                wanted.sort_by_key(|event| event.pdu["hashes"].to_string());
                let hashes = chain.iter().map(|pdu| &pdu["hashes"]).collect::<Vec<_>>();
                assert_eq!(hashes, wanted.iter().map(|e| &e.pdu["hashes"]).collect::<Vec<_>>());
            })
            .await;
    }
}

async fn gap_filling(stage: Stage) {
    let (company, alice, peer, room) = guest(&stage, "11").await;
    let mut view = View::default();
    alice.sync(&mut view, false).await;
    let mut lines = Vec::new();
    for line in 0..5 {
        let content = json!({ "msgtype": "m.text", "body": format!("line {line}") });
        lines.push(peer.write(&room, "charlie", "m.room.message", None, content));
    }
    let last = lines.last().expect("a line").clone();
    peer.send(&company, &[&last]).await;
    alice.until_event(&mut view, &room, &last.id).await;
    let timeline = view.rooms[&room].timeline_ids();
    let told = timeline.into_iter().filter(|id| lines.iter().any(|line| line.id == *id));
    assert_eq!(
        told.collect::<Vec<_>>(),
        lines.iter().map(|line| line.id.clone()).collect::<Vec<_>>()
    );
    assert!(peer.heard().times_asked("get_missing_events") > 0);
}

async fn missing_events(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    for visibility in ["world_readable", "shared", "invited", "joined"] {
        stage
            .row(&format!("Inbound federation can return missing events for {visibility} visibility"), async {
                let peer = stage.peer().await;
                let room = public_room(&alice).await;
                let content = json!({ "history_visibility": visibility });
                alice.set_state(&room, "m.room.history_visibility", "", &content).await;
                peer.join(&company, &room, "charlie").await;
                let mut said = Vec::new();
                for line in 0..4 {
                    said.push(alice.say(&room, &format!("line {line}")).await);
                }
                let body = json!({
                    "earliest_events": [said[0]], "latest_events": [said[3]], "limit": 10, "min_depth": 0,
                });
                let path = ["v1", "get_missing_events", &room];
                let answer = peer.post(&company, &path, &body).await.ok();
                let bodies = list(&answer, "/events").iter().map(|pdu| text(pdu, "/content/body"));
                assert_eq!(bodies.collect::<BTreeSet<_>>(), ["line 1".into(), "line 2".into()].into());
            })
            .await;
    }
}

/// Dora, who may do nothing, and what she wrote into the room.
async fn dora_comes(company: &Company, peer: &Peer, room: &str) {
    let dora = peer.user("dora");
    let join =
        peer.write(room, "dora", "m.room.member", Some(&dora), json!({ "membership": "join" }));
    peer.send(company, &[&join]).await;
}

async fn rejected_auth_events(stage: Stage) {
    let (company, alice, peer, room) = guest(&stage, "11").await;
    dora_comes(&company, &peer, &room).await;
    let (dora, known) = (peer.user("dora"), peer.copy_of(&room));
    // She raises herself, which nobody can, and acts upon it.
    let content = json!({ "users": { dora.as_str(): 100, peer.user("charlie"): 100 } });
    let draft = known.draft(&dora, "m.room.power_levels", Some(""), content);
    let coup = peer.sign(&room, draft);
    let mut draft = known.draft(&dora, "m.room.name", Some(""), json!({ "name": "Dora's" }));
    let mut auth = known.auth_events(&draft);
    let levels = &known.state_event("m.room.power_levels", "").expect("power levels").id;
    auth.retain(|id| id != levels);
    auth.push(coup.id.clone());
    draft["auth_events"] = json!(auth);
    let deed = peer.sign(&room, draft.clone());
    draft["prev_events"] = json!([deed.id]);
    draft["content"]["name"] = json!("Still Dora's");
    let second = peer.sign(&room, draft);
    peer.room(&room, |room| [&coup, &deed, &second].map(|event| room.keep(event.clone())));
    for event in [&coup, &deed, &second] {
        peer.send(&company, &[event]).await;
    }
    let after = peer.say(&company, &room, "charlie", "as you were").await;
    alice.until_event(&mut View::default(), &room, &after.id).await;
    for (row, event) in [
        ("Outlier should be rejected", &coup),
        ("sent event 1 should be rejected", &deed),
        ("sent event 2 should be rejected", &second),
    ] {
        stage.row(row, async { assert_eq!(alice.event(&room, &event.id).await, None) }).await;
    }
    assert_eq!(alice.state_content(&room, "m.room.name", "").await, None);
    let levels = alice.state_content(&room, "m.room.power_levels", "").await.expect("levels");
    assert!(levels["users"].get(&dora).is_none(), "{levels}");
}

async fn unreject(stage: Stage) {
    let (company, alice, peer, room) = guest(&stage, "11").await;
    let dora = peer.user("dora");
    // Her join is kept back, so nobody can know yet that she may speak.
    let join =
        peer.write(&room, "dora", "m.room.member", Some(&dora), json!({ "membership": "join" }));
    let content = json!({ "msgtype": "m.text", "body": "may I?" });
    let word = peer.write(&room, "dora", "m.room.message", None, content);
    let withheld = join.id.clone();
    for part in ["get_missing_events", "/event/", "/state", "event_auth", "backfill"] {
        for method in [reqwest::Method::GET, reqwest::Method::POST] {
            peer.answer(method, part, |_| (404, json!({ "errcode": "M_NOT_FOUND" })));
        }
    }
    peer.send(&company, &[&word]).await;
    peer.heard().until_asked("get_missing_events").await;
    assert_eq!(alice.event(&room, &word.id).await, None);
    peer.send(&company, &[&join]).await;
    alice.until_event(&mut View::default(), &room, &withheld).await;
    peer.send(&company, &[&word]).await;
    alice.until_event(&mut View::default(), &room, &word.id).await;
}

/// What was said long ago on the other side of a broken wire is news when it comes.
/// What came late stands where it arrived, not where its sender put it; who pages back from there
/// is told everything before it, in order, and nothing twice.
async fn partition(stage: Stage) {
    let (company, alice, peer, room) = guest(&stage, "11").await;
    let bob = company.person("bob").await;
    bob.join(&room, &[]).await;
    let is_bobs = |pdu: &Value| pdu["state_key"] == bob.user_id;
    peer.heard().until_pdu("that Bob is in", is_bobs).await;
    let filter = json!({ "room": { "timeline": { "limit": 4 } } }).to_string();
    let since = text(&sync(&bob, &[("filter", &filter)]).await, "/next_batch");
    // Charlie had none of Alice's lines when he said this.
    let content = json!({ "msgtype": "m.text", "body": "is anybody there?" });
    let charlie = peer.user("charlie");
    let draft =
        peer.room(&room, |room| room.draft(&charlie, "m.room.message", None, content.clone()));
    let late = peer.sign(&room, draft);
    let mut said = Vec::new();
    for line in 1..=4 {
        said.push(alice.say(&room, &format!("line {line}")).await);
    }
    peer.room(&room, |room| room.keep(late.clone()));
    peer.send(&company, &[&late]).await;
    alice.until_event(&mut View::default(), &room, &late.id).await;
    for line in 5..=7 {
        said.push(alice.say(&room, &format!("line {line}")).await);
    }
    let next = sync(&bob, &[("since", &since), ("filter", &filter)]).await;
    let joined = &next["rooms"]["join"][&room];
    let told = each(list(joined, "/timeline/events"), "event_id");
    let newest = [std::slice::from_ref(&late.id), &said[4..]].concat();
    assert_eq!(told, newest, "{joined}");
    let from = text(joined, "/timeline/prev_batch");
    let query = [("dir", "b"), ("from", from.as_str()), ("limit", "4")];
    let page = bob.get(&["rooms", &room, "messages"]).query(&query).ok().await;
    let past = each(list(&page, "/chunk"), "event_id");
    said.truncate(4);
    said.reverse();
    assert_eq!(past, said, "{page}");
}

async fn bad_company(stage: Stage) {
    let (company, alice, peer, room) = guest(&stage, "11").await;
    let mut unsigned =
        peer.write(&room, "charlie", "m.room.message", None, json!({ "body": "unsigned" }));
    peer.room(&room, |room| {
        room.events.retain(|event| event.id != unsigned.id);
        room.tips = unsigned.pdu["prev_events"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect();
    });
    unsigned.pdu["signatures"] = json!({});
    let good = peer.write(&room, "charlie", "m.room.message", None, json!({ "body": "signed" }));
    peer.send(&company, &[&unsigned, &good]).await;
    alice.until_event(&mut View::default(), &room, &good.id).await;
    assert_eq!(alice.event(&room, &unsigned.id).await, None);
}

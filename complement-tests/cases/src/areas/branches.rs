//! Rooms whose graph has several branches, or a broken piece.

use super::federated_events::guest;
use crate::{
    case::{Case, case},
    stage::Stage,
    words::{each, list, sync},
};
use harness::View;
use reqwest::Method;
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestSyncOmitsStateChangeOnFilteredEvents", filtered_branch),
        case("TestOutboundFederationIgnoresMissingEventWithBadJSONForRoomVersion6", bad_json),
    ]
}

/// A state change came on another branch, and what joined the branches is filtered out: the change is
/// told all the same.
async fn filtered_branch(stage: Stage) {
    let (company, alice, peer, room) = guest(&stage, "11").await;
    alice.say(&room, "one").await;
    peer.heard().until_pdu("it", |pdu| pdu["content"]["body"] == "one").await;
    // Charlie's branch begins here, beside what Alice says from now on.
    let charlie = peer.user("charlie");
    let named = peer.room(&room, |room| {
        room.draft(&charlie, "m.room.name", Some(""), json!({ "name": "The other branch" }))
    });
    let named = peer.sign(&room, named);
    for line in ["three", "four"] {
        alice.say(&room, line).await;
    }
    peer.send(&company, &[&named]).await;
    alice.until_event(&mut View::default(), &room, &named.id).await;
    alice.send(&room, "org.example.unseen", &json!({})).await;
    for (row, limit) in [("one event", 1), ("several events", 3)] {
        stage
            .row(row, async {
                let timeline = json!({ "not_types": ["org.example.unseen"], "limit": limit });
                let filter = json!({ "room": { "timeline": timeline } }).to_string();
                let all = sync(&alice, &[("filter", &filter)]).await;
                let joined = &all["rooms"]["join"][&room];
                let told = [
                    each(list(joined, "/state/events"), "event_id"),
                    each(list(joined, "/timeline/events"), "event_id"),
                ];
                assert_eq!(told[1].len(), limit, "{joined}");
                let times = told.iter().flatten().filter(|id| **id == named.id).count();
                assert_eq!(times, 1, "the name is told, once: {joined}");
            })
            .await;
    }
}

/// An event with a fraction is none from version 6 on: not when it is asked for, either. What stands
/// on it is not believed before its place is known.
async fn bad_json(stage: Stage) {
    let (company, alice, peer, room) = guest(&stage, "11").await;
    let charlie = peer.user("charlie");
    let (mut bad, good) = peer.room(&room, |room| {
        let draft = |body: &str| {
            room.draft(
                &charlie,
                "m.room.message",
                None,
                json!({ "msgtype": "m.text", "body": body }),
            )
        };
        (draft("a bad one"), draft("a good one"))
    });
    let signed = peer.sign(&room, bad.clone());
    // The signature was good before the fraction came in; the shape is looked at first.
    bad = signed.pdu.clone();
    bad["content"]["fraction"] = json!(1.5);
    let mut after = good;
    after["prev_events"] = json!([signed.id]);
    let after = peer.sign(&room, after);
    peer.answer(Method::POST, "get_missing_events", move |_| (200, json!({ "events": [bad] })));
    peer.answer(Method::GET, "/event/", |_| {
        (404, json!({ "errcode": "M_NOT_FOUND", "error": "" }))
    });
    peer.send(&company, &[&after]).await;
    peer.heard().until_asked("get_missing_events").await;
    // The server goes on: what stands on what it knows comes through.
    let next = peer.say(&company, &room, "charlie", "a sound one").await;
    alice.until_event(&mut View::default(), &room, &next.id).await;
    let shown = each(&alice.history(&room).await, "event_id");
    assert!(shown.contains(&next.id) && !shown.contains(&signed.id), "{shown:?}");
}

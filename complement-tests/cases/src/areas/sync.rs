//! /sync of rooms that one is in.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{each, list, public_room, set, sync, text},
};
use harness::{Account, View};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestSync", joined_rooms),
        case("TestSync: newly joined", newly_joined),
        case("TestSyncFilter", filters),
        case("TestCumulativeJoinLeaveJoinSync", join_leave_join),
        case("TestTentativeEventualJoiningAfterRejecting", joining_after_rejecting),
        case("TestRoomSummary", summary),
        case("TestGetRoomMembersAtPoint", members_at_point),
    ]
}

/// One room of an answer of /sync.
fn joined<'a>(synced: &'a Value, room: &str) -> &'a Value {
    &synced["rooms"]["join"][room]
}

async fn joined_rooms(stage: Stage) {
    let alice = stage.person().await;
    let room = alice.create_room(&json!({ "name": "The hall" })).await;
    let said = alice.say(&room, "hello").await;
    let first = sync(&alice, &[]).await;
    stage
        .row("Can sync a joined room", async {
            let events = list(joined(&first, &room), "/timeline/events");
            assert!(each(events, "event_id").contains(&said), "{first}");
            text(joined(&first, &room), "/timeline/prev_batch");
            // Nothing happened since: nothing is told.
            let next = sync(&alice, &[("since", &text(&first, "/next_batch"))]).await;
            assert!(joined(&next, &room).is_null(), "{next}");
        })
        .await;
    stage
        .row("Full state sync includes joined rooms", async {
            let since = text(&first, "/next_batch");
            let full = sync(&alice, &[("since", &since), ("full_state", "true")]).await;
            let kinds = set(list(joined(&full, &room), "/state/events"), "type");
            for kind in ["m.room.create", "m.room.power_levels", "m.room.name", "m.room.member"] {
                assert!(kinds.contains(kind), "no {kind}: {full}");
            }
        })
        .await;
    stage
        .row("a limited timeline says so, and its state is that at its begin", async {
            let filter = json!({ "room": { "timeline": { "limit": 1 } } }).to_string();
            let short = sync(&alice, &[("filter", &filter)]).await;
            let told = joined(&short, &room);
            assert_eq!(told["timeline"]["limited"], true, "{short}");
            assert_eq!(each(list(told, "/timeline/events"), "event_id"), [said.as_str()]);
            assert!(set(list(told, "/state/events"), "type").contains("m.room.name"), "{short}");
        })
        .await;
}

async fn newly_joined(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "Spices" })).await;
    let mut said = Vec::new();
    for line in 0..3 {
        said.push(alice.say(&room, &format!("before Bob, {line}")).await);
    }
    let since = text(&sync(&bob, &[]).await, "/next_batch");
    bob.join(&room, &[]).await;
    let filter = json!({ "room": { "timeline": { "limit": 3 } } }).to_string();
    let query = [("since", since.as_str()), ("filter", filter.as_str()), ("timeout", "5000")];
    let next = sync(&bob, &query).await;
    let told = joined(&next, &room);
    stage
        .row("Newly joined room is included in an incremental sync", async {
            let kinds = set(list(told, "/state/events"), "type");
            for kind in ["m.room.create", "m.room.topic", "m.room.join_rules"] {
                assert!(kinds.contains(kind), "no {kind}: {next}");
            }
        })
        .await;
    stage
        .row("Newly joined room has correct timeline in incremental sync", async {
            let events = list(told, "/timeline/events");
            assert_eq!(each(events, "event_id")[..2], said[1..]);
            assert_eq!(events[2]["state_key"], bob.user_id, "{next}");
            assert_eq!(told["timeline"]["limited"], true, "{next}");
        })
        .await;
}

async fn filters(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let path = ["user", alice.user_id.as_str(), "filter"];
    let filter = json!({ "room": { "timeline": { "limit": 10, "types": ["org.example.a"] } } });
    let made = text(&alice.post(&path, &filter).ok().await, "/filter_id");
    stage
        .row("Can create filter", async {
            assert!(!made.starts_with('{'), "{made} would be read as a filter itself");
        })
        .await;
    stage
        .row("Can download filter", async {
            let kept = alice.get(&["user", &alice.user_id, "filter", &made]).ok().await;
            assert_eq!(kept, filter);
        })
        .await;
    stage
        .row("the filter of another user is out of reach", async {
            let call = bob.get(&["user", &alice.user_id, "filter", &made]);
            assert_eq!(call.answer().await.status, 403);
            let call = bob.post(&path, &filter);
            call.answer().await.refused(403, "M_FORBIDDEN");
        })
        .await;
    stage
        .row("/sync keeps to a filter by its id", async {
            let room = public_room(&alice).await;
            alice.send(&room, "org.example.b", &json!({})).await;
            let wanted = alice.send(&room, "org.example.a", &json!({})).await;
            let synced = sync(&alice, &[("filter", &made)]).await;
            let events = list(joined(&synced, &room), "/timeline/events");
            assert_eq!(each(events, "event_id"), [wanted]);
        })
        .await;
}

async fn join_leave_join(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    let since = text(&sync(&bob, &[]).await, "/next_batch");
    bob.join(&room, &[]).await;
    bob.leave(&room).await;
    bob.join(&room, &[]).await;
    let next = sync(&bob, &[("since", &since), ("timeout", "5000")]).await;
    assert!(joined(&next, &room).is_object(), "{next}");
    assert!(next["rooms"]["leave"][&room].is_null(), "{next}");
}

async fn joining_after_rejecting(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    let since = text(&sync(&bob, &[]).await, "/next_batch");
    let mut view = View::default();
    for _ in 0..2 {
        alice.invite(&room, &bob.user_id).await;
        bob.until(&mut view, "the invitation", |v| v.invited.get(&room).cloned()).await;
        bob.leave(&room).await;
        let gone = |v: &View| (!v.invited.contains_key(&room)).then_some(());
        bob.until(&mut view, "no invitation", gone).await;
    }
    bob.join(&room, &[]).await;
    bob.until(&mut view, "the room", |v| v.rooms.contains_key(&room).then_some(())).await;
    let next = sync(&bob, &[("since", &since), ("timeout", "5000")]).await;
    assert!(joined(&next, &room).is_object(), "{next}");
}

async fn summary_of(who: &Account, room: &str) -> Value {
    joined(&sync(who, &[]).await, room)["summary"].clone()
}

async fn summary(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    let carol = company.person("carol").await;
    alice.invite(&room, &carol.user_id).await;
    let summary = summary_of(&alice, &room).await;
    assert_eq!(summary["m.joined_member_count"], 2, "{summary}");
    assert_eq!(summary["m.invited_member_count"], 1, "{summary}");
    let heroes = list(&summary, "/m.heroes");
    assert_eq!(heroes.len(), 2, "{summary}");
    assert!(heroes.contains(&json!(bob.user_id)) && heroes.contains(&json!(carol.user_id)));
    bob.leave(&room).await;
    let after = summary_of(&alice, &room).await;
    assert_eq!(after["m.joined_member_count"], 1, "{after}");
}

async fn members_at_point(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    alice.say(&room, "two of us").await;
    let synced = sync(&alice, &[]).await;
    let at = text(joined(&synced, &room), "/timeline/prev_batch");
    let now = text(&synced, "/next_batch");
    let carol = company.person("carol").await;
    carol.join(&room, &[]).await;
    let members = async |query: &[(&str, &str)]| {
        let members = alice.get(&["rooms", &room, "members"]).query(query).ok().await;
        set(list(&members, "/chunk"), "state_key")
    };
    let all = [&alice, &bob, &carol].map(|who| who.user_id.clone());
    assert_eq!(members(&[]).await, all.clone().into());
    assert_eq!(members(&[("at", &now)]).await, [all[0].clone(), all[1].clone()].into());
    // A room's prev_batch lies before the events that came with it.
    assert!(!members(&[("at", &at)]).await.contains(&carol.user_id));
}

//! What is left of a room that one is no longer in.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{each, list, public_room, set, sync, text},
};
use harness::{Account, View, eventually};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestSyncLeaveSection", leave_section),
        case("TestGappedSyncLeaveSection", gapped),
        case("TestArchivedRoomsHistory", archived_history),
        case("TestOlderLeftRoomsNotInLeaveSection", older_left_rooms),
        case("TestLeaveEventVisibility", leave_event),
        case("TestLeaveEventInviteRejection", rejection),
        case("TestLeftRoomFixture", left_room),
        case("TestRoomForget", forget),
    ]
}

const WITH_LEFT: &str = r#"{"room":{"include_leave":true}}"#;

fn left<'a>(synced: &'a Value, room: &str) -> &'a Value {
    &synced["rooms"]["leave"][room]
}

async fn next_batch(who: &Account) -> String {
    text(&sync(who, &[]).await, "/next_batch")
}

async fn leave_section(stage: Stage) {
    let alice = stage.person().await;
    let room = public_room(&alice).await;
    let since = next_batch(&alice).await;
    alice.leave(&room).await;
    for (row, query, told) in [
        ("Left rooms appear in the leave section of sync", vec![("filter", WITH_LEFT)], true),
        (
            "Left rooms appear in the leave section of full state sync",
            vec![("filter", WITH_LEFT), ("full_state", "true"), ("since", since.as_str())],
            true,
        ),
        (
            "Newly left rooms appear in the leave section of incremental sync",
            vec![("since", since.as_str())],
            true,
        ),
        ("they are not told without being asked for", vec![], false),
    ] {
        stage
            .row(row, async {
                let synced = sync(&alice, &query).await;
                assert_eq!(left(&synced, &room).is_object(), told, "{synced}");
                assert!(synced["rooms"]["join"][&room].is_null(), "{synced}");
            })
            .await;
    }
}

async fn gapped(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    let since = next_batch(&bob).await;
    for line in 0..5 {
        alice.say(&room, &format!("line {line}")).await;
    }
    bob.leave(&room).await;
    let filter = json!({ "room": { "timeline": { "limit": 1 } } }).to_string();
    let synced = sync(&bob, &[("since", &since), ("filter", &filter)]).await;
    let timeline = &left(&synced, &room)["timeline"];
    assert_eq!(timeline["limited"], true, "{synced}");
    let last = list(timeline, "/events").last().expect("the leave");
    assert_eq!(last["content"]["membership"], "leave", "{synced}");
}

async fn archived_history(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    let seen = alice.say(&room, "while Bob is there").await;
    let since = next_batch(&bob).await;
    bob.leave(&room).await;
    let unseen = alice.say(&room, "while Bob is away").await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "Bob" })).await;
    let synced = sync(&bob, &[("filter", WITH_LEFT)]).await;
    stage
        .row("timeline has events: initial sync", async {
            let ids = each(list(left(&synced, &room), "/timeline/events"), "event_id");
            assert!(ids.contains(&seen), "{synced}");
            assert!(!ids.contains(&unseen), "{synced}");
        })
        .await;
    stage
        .row("timeline has events: incremental sync", async {
            let synced = sync(&bob, &[("since", &since)]).await;
            let events = list(left(&synced, &room), "/timeline/events");
            assert_eq!(each(events, "state_key"), [bob.user_id.as_str()], "{synced}");
        })
        .await;
    stage
        .row("nothing of what came later is told", async {
            assert!(!synced.to_string().contains("\"topic\":\"Bob\""), "{synced}");
        })
        .await;
}

async fn older_left_rooms(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let (room, other) = (public_room(&alice).await, public_room(&alice).await);
    bob.join(&room, &[]).await;
    bob.join(&other, &[]).await;
    let since = next_batch(&bob).await;
    bob.leave(&room).await;
    let first = sync(&bob, &[("since", &since)]).await;
    assert!(left(&first, &room).is_object(), "{first}");
    let since = text(&first, "/next_batch");
    alice.say(&room, "nobody hears it").await;
    let said = alice.say(&other, "Bob hears it").await;
    eventually("Bob hears of the other room only", async || {
        let next = sync(&bob, &[("since", &since)]).await;
        let events = list(&next["rooms"]["join"][&other], "/timeline/events");
        assert!(left(&next, &room).is_null(), "{next}");
        each(events, "event_id").contains(&said).then_some(())
    })
    .await;
}

async fn leave_event(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    let content = json!({ "history_visibility": "joined" });
    alice.set_state(&room, "m.room.history_visibility", "", &content).await;
    bob.join(&room, &[]).await;
    let since = next_batch(&bob).await;
    alice.moderate(&room, "kick", &bob.user_id).await.ok();
    let synced = sync(&bob, &[("since", &since)]).await;
    let events = list(left(&synced, &room), "/timeline/events");
    assert!(events.iter().any(|event| event["state_key"] == bob.user_id), "{synced}");
}

async fn rejection(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    let content = json!({ "history_visibility": "joined" });
    alice.set_state(&room, "m.room.history_visibility", "", &content).await;
    alice.invite(&room, &bob.user_id).await;
    let mut view = View::default();
    bob.until(&mut view, "the invitation", |view| view.invited.get(&room).cloned()).await;
    let since = next_batch(&bob).await;
    bob.leave(&room).await;
    let synced = sync(&bob, &[("since", &since)]).await;
    let events = list(left(&synced, &room), "/timeline/events");
    let own = events.iter().find(|event| event["state_key"] == bob.user_id);
    assert_eq!(own.expect("his own leave")["content"]["membership"], "leave", "{synced}");
}

async fn left_room(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let room = alice.create_room(&json!({ "preset": "public_chat", "name": "Old name" })).await;
    bob.join(&room, &[]).await;
    let early = alice.say(&room, "while Bob is there").await;
    let before = text(&sync(&bob, &[]).await, "/next_batch");
    bob.leave(&room).await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "New name" })).await;
    company.person("carol").await.join(&room, &[]).await;
    let late = alice.say(&room, "while Bob is away").await;
    stage
        .row("Can get rooms/{roomId}/state for a departed room", async {
            let state = bob.get(&["rooms", &room, "state"]).ok().await;
            let name = list(&state, "").iter().find(|event| event["type"] == "m.room.name");
            assert_eq!(name.expect("a name")["content"]["name"], "Old name");
        })
        .await;
    stage
        .row("Can get rooms/{roomId}/members for a departed room", async {
            let members = bob.get(&["rooms", &room, "members"]).ok().await;
            let all = set(list(&members, "/chunk"), "state_key");
            assert_eq!(all, [alice.user_id.clone(), bob.user_id.clone()].into());
        })
        .await;
    stage
        .row("Can get rooms/{roomId}/messages for a departed room", async {
            let told = each(&bob.history(&room).await, "event_id");
            assert!(told.contains(&early) && !told.contains(&late), "{told:?}");
        })
        .await;
    stage
        .row("Can get 'm.room.name' state for a departed room", async {
            let name = bob.state_content(&room, "m.room.name", "").await.expect("a name");
            assert_eq!(name["name"], "Old name");
        })
        .await;
    stage
        .row("Getting messages going forward is limited for a departed room", async {
            let query = [("dir", "f"), ("from", before.as_str()), ("limit", "100")];
            let page = bob.get(&["rooms", &room, "messages"]).query(&query).ok().await;
            let told = each(list(&page, "/chunk"), "event_id");
            assert!(!told.contains(&late), "{page}");
        })
        .await;
}

async fn forget(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    let forget = async || bob.post(&["rooms", &room, "forget"], &json!({})).answer().await;
    bob.join(&room, &[]).await;
    alice.say(&room, "to be forgotten").await;
    stage
        .row("Can't forget room you're still in", async {
            forget().await.refused(400, "M_UNKNOWN");
        })
        .await;
    let since = next_batch(&bob).await;
    stage
        .row("Can forget room you've been kicked from", async {
            alice.moderate(&room, "kick", &bob.user_id).await.ok();
            bob.get(&["rooms", &room, "messages"]).query(&[("dir", "b")]).ok().await;
            forget().await.ok();
        })
        .await;
    stage
        .row("Forgotten room messages cannot be paginated", async {
            let call = bob.get(&["rooms", &room, "messages"]).query(&[("dir", "b")]);
            call.answer().await.refused(403, "M_FORBIDDEN");
        })
        .await;
    stage
        .row("Forgetting room does not show up in v2 initial /sync", async {
            let synced = sync(&bob, &[("filter", WITH_LEFT)]).await;
            assert!(left(&synced, &room).is_null(), "{synced}");
        })
        .await;
    stage
        .row("Leave for forgotten room shows up in v2 incremental /sync", async {
            let synced = sync(&bob, &[("since", &since), ("filter", WITH_LEFT)]).await;
            assert!(left(&synced, &room).is_object(), "{synced}");
        })
        .await;
    stage
        .row("Can re-join room if re-invited", async {
            alice.invite(&room, &bob.user_id).await;
            bob.join(&room, &[]).await;
            let said = alice.say(&room, "to be remembered").await;
            bob.until_event(&mut View::default(), &room, &said).await;
        })
        .await;
}

//! Holes in a room's graph.

use super::federated_events::guest;
use crate::{
    case::{Case, case},
    stage::Stage,
    words::{each, list, sync, text},
};
use harness::{View, eventually};
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![case("TestSyncTimelineGap", timeline_gap)]
}

/// Many things were said before the one that Alice's server is told, more than anybody fills in.
async fn timeline_gap(stage: Stage) {
    let (company, alice, peer, room) = guest(&stage, "11").await;
    let known = alice.say(&room, "before the silence").await;
    peer.heard().until_pdu("it", |pdu| pdu["content"]["body"] == "before the silence").await;
    let since = text(&sync(&alice, &[]).await, "/next_batch");
    let mut lines = Vec::new();
    for line in 0..60 {
        let content = json!({ "msgtype": "m.text", "body": format!("line {line}") });
        lines.push(peer.write(&room, "charlie", "m.room.message", None, content).id);
    }
    let last = peer.say(&company, &room, "charlie", "the last line").await;
    alice.until_event(&mut View::default(), &room, &last.id).await;
    let filter = json!({ "room": { "timeline": { "limit": 20 } } }).to_string();
    for (row, query) in [
        ("incremental", vec![("since", since.as_str()), ("filter", filter.as_str())]),
        ("full", vec![("filter", filter.as_str())]),
    ] {
        stage
            .row(row, async {
                let synced = sync(&alice, &query).await;
                let timeline = &synced["rooms"]["join"][&room]["timeline"];
                assert_eq!(timeline["limited"], true, "{timeline}");
                let told = each(list(timeline, "/events"), "event_id");
                assert_eq!(told.last(), Some(&last.id), "{timeline}");
                assert!(!told.contains(&known), "what came long before is no news: {timeline}");
                text(timeline, "/prev_batch");
            })
            .await;
    }
    stage
        .row("who pages back is told what filled the gap", async {
            eventually("every line", async || {
                let shown = alice.history(&room).await;
                let shown = each(&shown, "event_id");
                let wanted = lines.iter().chain([&known, &last.id]);
                let times = |id: &String| shown.iter().filter(|one| *one == id).count();
                wanted.map(times).all(|times| times == 1).then_some(())
            })
            .await;
        })
        .await;
}

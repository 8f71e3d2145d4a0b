//! Who is there, told to those who share a room.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{becomes, list, public_room, sync, text},
};
use harness::{Account, eventually};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestPresence", |stage| told(stage, false)),
        case("TestRemotePresence", |stage| told(stage, true)),
        case("TestPresenceSyncDifferentRooms", different_rooms),
    ]
}

async fn set(who: &Account, presence: &Value) {
    who.put(&["presence", &who.user_id, "status"], presence).ok().await;
}

async fn status(seen_by: &Account, of: &Account) -> harness::Answer {
    seen_by.get(&["presence", &of.user_id, "status"]).answer().await
}

/// Waits until /sync says this of somebody, and goes on from there.
async fn sees(who: &Account, since: &mut String, of: &Account, wanted: &Value) {
    eventually(&format!("{} sees {wanted} of {}", who.user_id, of.user_id), async || {
        let next = sync(who, &[("since", since), ("timeout", "1000")]).await;
        *since = text(&next, "/next_batch");
        let mut events = list(&next, "/presence/events").iter();
        let is_told = |event: &&Value| {
            let fields = wanted.as_object().expect("an object");
            event["sender"] == of.user_id && fields.iter().all(|(k, v)| event["content"][k] == *v)
        };
        events.find(is_told).map(|_| ())
    })
    .await;
}

async fn told(stage: Stage, remote: bool) {
    let (alice, bob) = if remote { stage.partners().await } else { stage.colleagues().await };
    let stranger = stage.company().await.person("stranger").await;
    let room = public_room(&alice).await;
    let (_, here) = alice.user_id.split_once(':').expect("a server");
    bob.join(&room, &[here]).await;
    becomes(&alice, &room, &bob, "join").await;
    let mut since = text(&sync(&bob, &[]).await, "/next_batch");
    stage
        .row("PUT /presence/:user_id/status updates my presence", async {
            let present = json!({ "presence": "online", "status_msg": "Counting barrels" });
            set(&alice, &present).await;
            let seen = status(&alice, &alice).await.ok();
            assert_eq!(
                (&seen["presence"], &seen["status_msg"]),
                (&json!("online"), &json!("Counting barrels"))
            );
            sees(&bob, &mut since, &alice, &present).await;
        })
        .await;
    stage
        .row("Presence changes to UNAVAILABLE are reported to room members", async {
            set(&alice, &json!({ "presence": "unavailable" })).await;
            sees(&bob, &mut since, &alice, &json!({ "presence": "unavailable" })).await;
        })
        .await;
    stage
        .row("Presence can be set from sync", async {
            set(&alice, &json!({ "presence": "online" })).await;
            sees(&bob, &mut since, &alice, &json!({ "presence": "online" })).await;
            sync(&alice, &[("set_presence", "unavailable"), ("timeout", "0")]).await;
            sees(&bob, &mut since, &alice, &json!({ "presence": "unavailable" })).await;
        })
        .await;
    stage
        .row("nobody sets it for others, and strangers do not see it", async {
            let path = ["presence", alice.user_id.as_str(), "status"];
            let answer = bob.put(&path, &json!({ "presence": "offline" })).answer().await;
            assert_eq!(answer.status, 403, "{answer}");
            assert!(status(&stranger, &alice).await.status.is_client_error());
            let all = sync(&stranger, &[]).await;
            let of_alice = |event: &&Value| event["sender"] == alice.user_id;
            assert!(!list(&all, "/presence/events").iter().any(|event| of_alice(&event)), "{all}");
        })
        .await;
}

/// Those with whom one shares different rooms are all told of.
async fn different_rooms(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob, carol) =
        (company.person("alice").await, company.person("bob").await, company.person("carol").await);
    for other in [&bob, &carol] {
        let room = public_room(&alice).await;
        other.join(&room, &[]).await;
    }
    let since = text(&sync(&alice, &[]).await, "/next_batch");
    for other in [&bob, &carol] {
        set(other, &json!({ "presence": "online", "status_msg": "here" })).await;
        let mut since = since.clone();
        sees(&alice, &mut since, other, &json!({ "presence": "online", "status_msg": "here" }))
            .await;
    }
}

//! Who is told that somebody's devices changed, or that they are no longer of interest.

use super::federated_events::guest;
use crate::{
    case::{Case, case},
    stage::Stage,
    words::{list, public_room, sync, text},
};
use harness::{Account, eventually};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestDeviceListUpdates", |stage| updates(stage, false)),
        case("TestDeviceListUpdates: of another company", |stage| updates(stage, true)),
        case("TestDeviceListsUpdateOverFederationOnRoomJoin", told_on_join),
    ]
}

/// Keys make a device worth knowing.
async fn give_keys(of: &Account) {
    let id = &of.device_id;
    let keys = json!({
        "user_id": of.user_id, "device_id": id, "algorithms": ["m.megolm.v1.aes-sha2"],
        "keys": { format!("ed25519:{id}"): "lEuiRJBit0IG6nUf5pUzWTUEsRVVe/HJkoKuEww9ULI" },
        "signatures": { of.user_id.as_str(): { format!("ed25519:{id}"): "c2lnbmF0dXJl" } },
    });
    of.post(&["keys", "upload"], &json!({ "device_keys": keys })).ok().await;
}

/// Waits until a /sync after `since` names somebody in `list_name`.
async fn told(who: &Account, since: &str, list_name: &str, of: &Account) {
    let pointer = format!("/device_lists/{list_name}");
    eventually(&format!("{} is told {list_name}: {}", who.user_id, of.user_id), async || {
        let next = sync(who, &[("since", since), ("timeout", "1000")]).await;
        list(&next, &pointer).contains(&json!(of.user_id)).then_some(())
    })
    .await;
}

async fn now(who: &Account) -> String {
    text(&sync(who, &[]).await, "/next_batch")
}

async fn updates(stage: Stage, remote: bool) {
    let (alice, bob) = if remote { stage.partners().await } else { stage.colleagues().await };
    let room = public_room(&alice).await;
    let server = alice.user_id.split_once(':').expect("a server").1.to_owned();
    give_keys(&alice).await;
    give_keys(&bob).await;
    for (join, leave) in [
        ("when joining a room with a user", "when leaving a room with a user"),
        ("when rejoining a room with a user", "when leaving it again"),
    ] {
        let (of_alice, of_bob) = (now(&alice).await, now(&bob).await);
        stage
            .row(join, async {
                bob.join(&room, &[&server]).await;
                told(&alice, &of_alice, "changed", &bob).await;
                told(&bob, &of_bob, "changed", &alice).await;
            })
            .await;
        let (of_alice, of_bob) = (now(&alice).await, now(&bob).await);
        stage
            .row(leave, async {
                bob.leave(&room).await;
                told(&alice, &of_alice, "left", &bob).await;
                told(&bob, &of_bob, "left", &alice).await;
            })
            .await;
    }
}

async fn told_on_join(stage: Stage) {
    let (_, alice, peer, room) = guest(&stage, "11").await;
    give_keys(&alice).await;
    let is_hers = |content: &Value| content["user_id"] == alice.user_id;
    let told = peer.heard().until_edu("m.device_list_update", is_hers).await;
    assert_eq!(told["device_id"], alice.device_id, "{told}");
    assert!(peer.copy_of(&room).state_event("m.room.member", &alice.user_id).is_some());
}

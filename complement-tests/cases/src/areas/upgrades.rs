//! A room goes on as another one.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{each, list, text},
};
use harness::{Account, eventually};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestPushRuleRoomUpgrade", push_rules),
        case("TestMSC4289PrivilegedRoomCreators_Upgrades", creators),
        case("TestMSC4291RoomIDAsHashOfCreateEvent_UpgradedRooms", ids),
    ]
}

async fn made(by: &Account, version: &str, levels: Value) -> String {
    let options = json!({
        "preset": "public_chat", "room_version": version, "power_level_content_override": levels,
    });
    by.create_room(&options).await
}

/// The room that goes on for this one.
async fn upgrade(by: &Account, room: &str, body: Value) -> String {
    text(&by.post(&["rooms", room, "upgrade"], &body).ok().await, "/replacement_room")
}

async fn room_rules(of: &Account) -> Vec<String> {
    let rules = of.get(&["pushrules", "global", "room"]).answer().await;
    // Some tell all rules only, without the trailing slash.
    let rules = if rules.status.is_success() {
        rules.json()
    } else {
        of.get(&["pushrules", ""]).ok().await["global"]["room"].clone()
    };
    each(list(&rules, ""), "rule_id")
}

/// Who wants no noise of the old room wants none of the new one, be it upgraded here or elsewhere.
async fn push_rules(stage: Stage) {
    let (alice, bob) = stage.partners().await;
    let (_, here) = alice.user_id.split_once(':').expect("a server");
    let room = made(&alice, "10", json!({})).await;
    bob.join(&room, &[here]).await;
    for who in [&alice, &bob] {
        who.put(&["pushrules", "global", "room", &room], &json!({ "actions": [] })).ok().await;
        assert_eq!(room_rules(who).await, [room.as_str()]);
    }
    let new = upgrade(&alice, &room, json!({ "new_version": "11" })).await;
    stage
        .row("upgrading a room carries over existing push rules for local users", async {
            eventually("the rule came along", async || {
                room_rules(&alice).await.contains(&new).then_some(())
            })
            .await;
        })
        .await;
    stage
        .row("joining a remote upgraded room carries over existing push rules", async {
            bob.join(&new, &[here]).await;
            eventually("the rule came along", async || {
                room_rules(&bob).await.contains(&new).then_some(())
            })
            .await;
        })
        .await;
}

/// From version 12 on creators stand above all levels: who upgrades is one, and leaves the list.
async fn creators(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob, carol) =
        (company.person("alice").await, company.person("bob").await, company.person("carol").await);
    for (row, version, levels, more, wanted) in [
        (
            "non-creator admins can upgrade v11 rooms to v12",
            "11",
            json!({ "users": { alice.user_id.as_str(): 100, bob.user_id.as_str(): 100, carol.user_id.as_str(): 50 } }),
            json!([]),
            // Alice was named, and is no creator of the new one.
            json!({ alice.user_id.as_str(): 100, carol.user_id.as_str(): 50 }),
        ),
        (
            "non-creator admins can upgrade v12 rooms to v12 with different creators",
            "12",
            json!({ "users": { bob.user_id.as_str(): 150, carol.user_id.as_str(): 50 } }),
            json!([carol.user_id]),
            json!({}),
        ),
    ] {
        stage
            .row(row, async {
                let room = made(&alice, version, levels).await;
                bob.join(&room, &[]).await;
                let body = json!({ "new_version": "12", "additional_creators": more });
                let new = upgrade(&bob, &room, body).await;
                let create =
                    bob.state_content(&new, "m.room.create", "").await.expect("a creation");
                let creators = create.get("additional_creators").cloned().unwrap_or(json!([]));
                assert_eq!(creators, more, "{create}");
                let levels = bob.state_content(&new, "m.room.power_levels", "").await;
                let users = levels.expect("levels")["users"].clone();
                assert_eq!(if users.is_null() { json!({}) } else { users }, wanted);
            })
            .await;
    }
    stage
        .row("who has not the power does not upgrade", async {
            let room = made(&alice, "12", json!({})).await;
            bob.join(&room, &[]).await;
            let refused = bob.post(&["rooms", &room, "upgrade"], &json!({ "new_version": "12" }));
            refused.answer().await.refused(403, "M_FORBIDDEN");
        })
        .await;
}

async fn ids(stage: Stage) {
    let alice = stage.person().await;
    for version in ["12", "11", "10"] {
        stage
            .row(version, async {
                let room = made(&alice, version, json!({})).await;
                alice.set_state(&room, "m.room.name", "", &json!({ "name": "The exchange" })).await;
                let new = upgrade(&alice, &room, json!({ "new_version": "12" })).await;
                let state = alice.state(&new).await;
                let create = state.id("m.room.create", "").expect("a creation");
                assert_eq!(new, create.replacen('$', "!", 1), "its id is that of its creation");
                let stone = alice.state_content(&room, "m.room.tombstone", "").await;
                assert_eq!(stone.expect("a tombstone")["replacement_room"], new);
                let create = alice.state_content(&new, "m.room.create", "").await.expect("it");
                assert_eq!(create["predecessor"]["room_id"], room, "{create}");
                let name = alice.state_content(&new, "m.room.name", "").await.expect("a name");
                assert_eq!(name["name"], "The exchange");
            })
            .await;
    }
}

//! Who may do what, and taking back what was said.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::public_room,
};
use harness::{Account, View};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestPowerLevels", power_levels),
        case("TestDemotingUsersViaUsersDefault", users_default),
        case("TestRedact", redact),
        case("TestRedact: refused", redact_refused),
    ]
}

async fn levels(who: &Account, room: &str) -> Value {
    who.state_content(room, "m.room.power_levels", "").await.expect("power levels")
}

/// A room of version 11, whose creator stands in the power levels.
async fn room_of_eleven(alice: &Account) -> String {
    alice.create_room(&json!({ "preset": "public_chat", "room_version": "11" })).await
}

async fn power_levels(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = room_of_eleven(&alice).await;
    bob.join(&room, &[]).await;
    stage
        .row("GET /rooms/:room_id/state/m.room.power_levels can fetch levels", async {
            let levels = levels(&alice, &room).await;
            assert_eq!(levels["users"][&alice.user_id], 100, "{levels}");
        })
        .await;
    stage
        .row("PUT /rooms/:room_id/state/m.room.power_levels can set levels", async {
            let mut wanted = levels(&alice, &room).await;
            wanted["users"][&bob.user_id] = json!(100);
            alice.set_state(&room, "m.room.power_levels", "", &wanted).await;
            assert_eq!(levels(&bob, &room).await, wanted);
            bob.set_state(&room, "m.room.name", "", &json!({ "name": "Bob's" })).await;
        })
        .await;
    stage
        .row("PUT power_levels should not explode if the old power levels were empty", async {
            let room = room_of_eleven(&alice).await;
            let content = json!({ "users": { alice.user_id.as_str(): 100 } });
            alice.set_state(&room, "m.room.power_levels", "", &content).await;
            alice.set_state(&room, "m.room.power_levels", "", &json!({})).await;
            // Nobody stands above anybody now, and state asks for 50.
            let answer = alice.try_set_state(&room, "m.room.power_levels", "", &content).await;
            answer.refused(403, "M_FORBIDDEN");
        })
        .await;
    stage
        .row("who has no power sets no state", async {
            let room = room_of_eleven(&alice).await;
            bob.join(&room, &[]).await;
            for (kind, content) in [
                ("m.room.name", json!({ "name": "Bob's" })),
                ("m.room.power_levels", json!({ "users": { bob.user_id.as_str(): 100 } })),
                ("m.room.join_rules", json!({ "join_rule": "invite" })),
            ] {
                let answer = bob.try_set_state(&room, kind, "", &content).await;
                answer.refused(403, "M_FORBIDDEN");
            }
        })
        .await;
}

async fn users_default(stage: Stage) {
    let alice = stage.person().await;
    let options = json!({
        "preset": "public_chat",
        "room_version": "11",
        "power_level_content_override": {
            "users_default": 100, "users": { alice.user_id.as_str(): 100 },
        },
    });
    let room = alice.create_room(&options).await;
    let mut wanted = levels(&alice, &room).await;
    assert_eq!(wanted["users_default"], 100, "{wanted}");
    wanted["users_default"] = json!(40);
    wanted["users"] = json!({ alice.user_id.as_str(): 100 });
    alice.set_state(&room, "m.room.power_levels", "", &wanted).await;
    assert_eq!(levels(&alice, &room).await, wanted);
}

async fn redact(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    for version in ["10", "11", "12"] {
        stage
            .row(&format!("Event content is redacted, version {version}"), async {
                let options = json!({ "preset": "public_chat", "room_version": version });
                let room = alice.create_room(&options).await;
                bob.join(&room, &[]).await;
                let said = bob.say(&room, "a slip of the tongue").await;
                let mut view = View::default();
                bob.until_event(&mut view, &room, &said).await;
                let redaction = alice.redact(&room, &said).await;
                bob.until_event(&mut view, &room, &redaction).await;
                let event = bob.event(&room, &said).await.expect("the event is there");
                assert_eq!(event["content"], json!({}), "{event}");
                let because = &event["unsigned"]["redacted_because"];
                assert_eq!(because["event_id"], redaction, "{event}");
                assert_eq!(because["sender"], alice.user_id, "{event}");
                let redacted =
                    &bob.event(&room, &redaction).await.expect("the redaction")["content"];
                assert!(version == "10" || redacted["redacts"] == said, "{redacted}");
            })
            .await;
    }
    stage
        .row("what the protocol needs is kept", async {
            let room = public_room(&alice).await;
            bob.join(&room, &[]).await;
            bob.put(&["profile", &bob.user_id, "displayname"], &json!({ "displayname": "Bob" }))
                .ok()
                .await;
            let key = ("m.room.member".to_owned(), bob.user_id.clone());
            let member = alice
                .until(&mut View::default(), "Bob's name", |view: &View| {
                    let member = view.rooms.get(&room)?.state.get(&key)?;
                    (member["content"]["displayname"] == "Bob").then(|| member.clone())
                })
                .await;
            alice.redact(&room, member["event_id"].as_str().expect("an id")).await;
            let content = alice.state_content(&room, "m.room.member", &bob.user_id).await;
            assert_eq!(content, Some(json!({ "membership": "join" })));
        })
        .await;
}

async fn redact_refused(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    let said = alice.say(&room, "as it was said").await;
    let call = bob.put(&["rooms", &room, "redact", &said, "t"], &json!({}));
    call.answer().await.refused(403, "M_FORBIDDEN");
    let event = bob.event(&room, &said).await.expect("it is there");
    assert_eq!(event["content"]["body"], "as it was said");
}

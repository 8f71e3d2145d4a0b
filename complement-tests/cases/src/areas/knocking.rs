//! Knocking at the door of a room.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{becomes, each, list, membership, sync},
};
use harness::{Account, Answer, View, eventually};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestKnocking", |stage| knocking(stage, "7", "knock")),
        case("TestKnockingInMSC3787Room", |stage| knocking(stage, "10", "knock_restricted")),
        case("TestKnockRoomsInPublicRoomsDirectory", |stage| directory(stage, "7", "knock")),
        case("TestKnockRoomsInPublicRoomsDirectoryInMSC3787Room", |stage| {
            directory(stage, "10", "knock_restricted")
        }),
    ]
}

fn rules(join_rule: &str) -> Value {
    match join_rule {
        "knock_restricted" => json!({ "join_rule": join_rule, "allow": [] }),
        _ => json!({ "join_rule": join_rule }),
    }
}

async fn knock(who: &Account, room: &str, via: &str) -> Answer {
    let body = json!({ "reason": "I bring the contract" });
    who.post(&["knock", room], &body).query(&[("via", via), ("server_name", via)]).answer().await
}

async fn knocking(stage: Stage, version: &'static str, join_rule: &'static str) {
    let [here, there] = stage.companies().await;
    let alice = here.person("alice").await;
    for (place, bob) in [
        ("by a colleague", here.person("bob").await),
        ("over federation", there.person("bob").await),
    ] {
        let door = async || door(&alice, (version, join_rule)).await;
        let via = here.name.as_str();
        stage
            .row(&format!("{place}: he may not"), async {
                may_not(&alice, &bob, &door().await, via).await;
            })
            .await;
        stage
            .row(&format!("{place}: he changes his mind"), async {
                changes_his_mind(&alice, &bob, &door().await, via).await;
            })
            .await;
        stage
            .row(&format!("{place}: he is turned away"), async {
                is_turned_away(&alice, &bob, &door().await, via).await;
            })
            .await;
        stage
            .row(&format!("{place}: he is let in"), async {
                is_let_in(&alice, &bob, &door().await, via).await;
            })
            .await;
    }
}

/// A room at which one may knock.
async fn door(alice: &Account, (version, join_rule): (&str, &str)) -> String {
    let options =
        json!({ "room_version": version, "preset": "private_chat", "name": "The chamber" });
    let room = alice.create_room(&options).await;
    alice.set_state(&room, "m.room.join_rules", "", &rules(join_rule)).await;
    room
}

async fn may_not(alice: &Account, bob: &Account, room: &str, via: &str) {
    let shut = alice.create_room(&json!({ "preset": "private_chat" })).await;
    knock(bob, &shut, via).await.refused(403, "M_FORBIDDEN");
    alice.moderate(room, "ban", &bob.user_id).await.ok();
    let banned = knock(bob, room, via).await;
    assert_eq!(banned.status, 403, "{banned}");
    assert_eq!(membership(alice, room, bob).await.as_deref(), Some("ban"));
}

async fn changes_his_mind(alice: &Account, bob: &Account, room: &str, via: &str) {
    knock(bob, room, via).await.ok();
    becomes(alice, room, bob, "knock").await;
    shown(bob, room).await;
    let why = alice.state_content(room, "m.room.member", &bob.user_id).await.expect("the knock");
    assert_eq!(why["reason"], "I bring the contract");
    bob.leave(room).await;
    becomes(alice, room, bob, "leave").await;
}

async fn is_turned_away(alice: &Account, bob: &Account, room: &str, via: &str) {
    knock(bob, room, via).await.ok();
    becomes(alice, room, bob, "knock").await;
    shown(bob, room).await;
    alice.moderate(room, "kick", &bob.user_id).await.ok();
    becomes(alice, room, bob, "leave").await;
    eventually("Bob knows that he was turned away", async || {
        sync(bob, &[]).await["rooms"]["knock"][room].is_null().then_some(())
    })
    .await;
}

async fn is_let_in(alice: &Account, bob: &Account, room: &str, via: &str) {
    knock(bob, room, via).await.ok();
    becomes(alice, room, bob, "knock").await;
    alice.invite(room, &bob.user_id).await;
    let invited = |view: &View| view.invited.get(room).cloned();
    bob.until(&mut View::default(), "the invitation", invited).await;
    bob.join(room, &[via]).await;
    becomes(alice, room, bob, "join").await;
    // Who is inside has no need to knock.
    knock(bob, room, via).await.refused(403, "M_FORBIDDEN");
}

/// Bob's clients show at which door he stands.
async fn shown(bob: &Account, room: &str) {
    let told = eventually("the knock in /sync", async || {
        let synced = sync(bob, &[]).await;
        let knock = &synced["rooms"]["knock"][room];
        knock.is_object().then(|| knock.clone())
    })
    .await;
    let stripped = list(&told, "/knock_state/events");
    let kinds = each(stripped, "type");
    for kind in ["m.room.name", "m.room.join_rules", "m.room.create"] {
        assert!(kinds.iter().any(|it| it == kind), "no {kind}: {told}");
    }
    let own = stripped.iter().find(|event| event["state_key"] == bob.user_id);
    assert_eq!(own.expect("his own knock")["content"]["membership"], "knock", "{told}");
}

async fn directory(stage: Stage, version: &'static str, join_rule: &'static str) {
    let alice = stage.person().await;
    let rule = json!({ "type": "m.room.join_rules", "state_key": "", "content": rules(join_rule) });
    let options = json!({
        "room_version": version, "visibility": "public", "name": "The chamber", "initial_state": [rule],
    });
    let room = alice.create_room(&options).await;
    eventually("the room is in the list", async || {
        let listed = alice.get(&["publicRooms"]).query(&[("limit", "1000")]).ok().await;
        let entry = list(&listed, "/chunk").iter().find(|entry| entry["room_id"] == room)?;
        assert_eq!(entry["join_rule"], join_rule, "{entry}");
        Some(())
    })
    .await;
}

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
    for (row, bob) in [
        ("by a colleague", here.person("bob").await),
        ("over federation", there.person("bob").await),
    ] {
        stage.row(row, async { door(&alice, &bob, &here.name, (version, join_rule)).await }).await;
    }
}

async fn door(alice: &Account, bob: &Account, via: &str, (version, join_rule): (&str, &str)) {
    let options =
        json!({ "room_version": version, "preset": "private_chat", "name": "The chamber" });
    let room = alice.create_room(&options).await;
    // Nobody knocks at a door that is shut for good.
    knock(bob, &room, via).await.refused(403, "M_FORBIDDEN");
    alice.set_state(&room, "m.room.join_rules", "", &rules(join_rule)).await;
    // He changes his mind, ...
    knock(bob, &room, via).await.ok();
    becomes(alice, &room, bob, "knock").await;
    shown(bob, &room).await;
    let why = alice.state_content(&room, "m.room.member", &bob.user_id).await.expect("the knock");
    assert_eq!(why["reason"], "I bring the contract");
    bob.leave(&room).await;
    becomes(alice, &room, bob, "leave").await;
    // ... is turned away, ...
    knock(bob, &room, via).await.ok();
    becomes(alice, &room, bob, "knock").await;
    alice.moderate(&room, "kick", &bob.user_id).await.ok();
    becomes(alice, &room, bob, "leave").await;
    eventually("Bob knows that he was turned away", async || {
        sync(bob, &[]).await["rooms"]["knock"][&room].is_null().then_some(())
    })
    .await;
    // ... and is let in.
    knock(bob, &room, via).await.ok();
    becomes(alice, &room, bob, "knock").await;
    alice.invite(&room, &bob.user_id).await;
    let invited = |view: &View| view.invited.get(&room).cloned();
    bob.until(&mut View::default(), "the invitation", invited).await;
    bob.join(&room, &[via]).await;
    becomes(alice, &room, bob, "join").await;
    // Who is inside has no need to knock, and who is banned no right to.
    knock(bob, &room, via).await.refused(403, "M_FORBIDDEN");
    alice.moderate(&room, "ban", &bob.user_id).await.ok();
    let banned = knock(bob, &room, via).await;
    assert_eq!(banned.status, 403, "{banned}");
    assert_eq!(membership(alice, &room, bob).await.as_deref(), Some("ban"));
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

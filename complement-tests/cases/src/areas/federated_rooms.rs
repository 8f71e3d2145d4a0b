//! People of two companies in one room.

use crate::{
    case::{Case, case},
    peer::Peer,
    stage::Stage,
    words::{becomes, public_room, set, sync, text},
};
use harness::{Account, View, eventually};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestFederationRoomsInvite", invitations),
        case("TestFederationRoomsInvite: a server that is there already", already_there),
        case("TestFederationRejectInvite", third_server_hears),
        case("TestUnbanViaInvite", unban),
        case("TestRemoteTyping", typing),
    ]
}

async fn private_room(alice: &Account) -> String {
    let options = json!({ "preset": "private_chat", "name": "The chamber" });
    alice.create_room(&options).await
}

/// Stripped state of the invitation.
async fn invited(bob: &Account, room: &str) -> Vec<Value> {
    let told = |view: &View| view.invited.get(room).cloned();
    bob.until(&mut View::default(), "the invitation", told).await.into_values().collect()
}

/// Bob is no longer asked into the room.
async fn asked_no_more(bob: &Account, room: &str) {
    eventually("there is no invitation", async || {
        let mut view = View::default();
        bob.sync(&mut view, false).await;
        (!view.invited.contains_key(room)).then_some(())
    })
    .await;
}

async fn invitations(stage: Stage) {
    let (alice, bob) = stage.partners().await;
    for (row, times) in [
        ("Invited user can reject invite over federation", 1),
        ("Invited user can reject invite over federation several times", 3),
    ] {
        stage
            .row(row, async {
                let room = private_room(&alice).await;
                for _ in 0..times {
                    alice.invite(&room, &bob.user_id).await;
                    invited(&bob, &room).await;
                    bob.leave(&room).await;
                    becomes(&alice, &room, &bob, "leave").await;
                    asked_no_more(&bob, &room).await;
                }
            })
            .await;
    }
    stage
        .row("Invited user can reject invite over federation for empty room", async {
            let room = private_room(&alice).await;
            alice.invite(&room, &bob.user_id).await;
            invited(&bob, &room).await;
            alice.leave(&room).await;
            bob.leave(&room).await;
            asked_no_more(&bob, &room).await;
        })
        .await;
    stage
        .row("Remote invited user can see room metadata", async {
            let room = private_room(&alice).await;
            alice.invite(&room, &bob.user_id).await;
            let stripped = invited(&bob, &room).await;
            let kinds = set(&stripped, "type");
            for kind in ["m.room.name", "m.room.join_rules", "m.room.create", "m.room.member"] {
                assert!(kinds.contains(kind), "no {kind} in {stripped:?}");
            }
            bob.join(&room, &[]).await;
            becomes(&alice, &room, &bob, "join").await;
        })
        .await;
    stage
        .row("Inviter user can rescind invite over federation", async {
            let room = private_room(&alice).await;
            alice.invite(&room, &bob.user_id).await;
            invited(&bob, &room).await;
            alice.moderate(&room, "kick", &bob.user_id).await.ok();
            asked_no_more(&bob, &room).await;
        })
        .await;
}

async fn already_there(stage: Stage) {
    let [here, there] = stage.companies().await;
    let alice = here.person("alice").await;
    let (bob, clerk) = (there.person("bob").await, there.person("clerk").await);
    let room = private_room(&alice).await;
    alice.invite(&room, &clerk.user_id).await;
    invited(&clerk, &room).await;
    clerk.join(&room, &[]).await;
    becomes(&alice, &room, &clerk, "join").await;
    stage
        .row("Remote invited user can reject invite when homeserver is already participating in the room", async {
            alice.invite(&room, &bob.user_id).await;
            invited(&bob, &room).await;
            bob.leave(&room).await;
            becomes(&alice, &room, &bob, "leave").await;
            asked_no_more(&bob, &room).await;
        })
        .await;
    stage
        .row("Non-invitee user cannot rescind invite over federation", async {
            alice.invite(&room, &bob.user_id).await;
            invited(&bob, &room).await;
            // He may speak, but he has no power to throw anybody out.
            let answer = clerk.moderate(&room, "kick", &bob.user_id).await;
            answer.refused(403, "M_FORBIDDEN");
            invited(&bob, &room).await;
        })
        .await;
    stage
        .row("Remote invited user can join the room when homeserver is already participating in the room", async {
            let carol = there.person("carol").await;
            alice.invite(&room, &carol.user_id).await;
            invited(&carol, &room).await;
            carol.join(&room, &[]).await;
            becomes(&alice, &room, &carol, "join").await;
            let said = alice.say(&room, "welcome, both").await;
            carol.until_event(&mut View::default(), &room, &said).await;
        })
        .await;
    stage
        .row("Invited user has 'is_direct' flag in prev_content after joining", async {
            let options =
                json!({ "preset": "private_chat", "is_direct": true, "invite": [bob.user_id] });
            let room = alice.create_room(&options).await;
            invited(&bob, &room).await;
            let since = text(&sync(&bob, &[]).await, "/next_batch");
            bob.join(&room, &[]).await;
            let next = sync(&bob, &[("since", &since), ("timeout", "5000")]).await;
            let joined = &next["rooms"]["join"][&room];
            let own = |list: &Value| {
                let mut events = list["events"].as_array().into_iter().flatten();
                events.rfind(|event| event["state_key"] == bob.user_id).cloned()
            };
            let join =
                own(&joined["timeline"]).or_else(|| own(&joined["state"])).expect("his join");
            assert_eq!(join["unsigned"]["prev_content"]["is_direct"], true, "{join}");
        })
        .await;
}

async fn third_server_hears(stage: Stage) {
    let [here, there] = stage.companies().await;
    let (alice, bob) = (here.person("alice").await, there.person("bob").await);
    let peer: Peer = stage.peer().await;
    let room = public_room(&alice).await;
    peer.join(&here, &room, "delia").await;
    alice.invite(&room, &bob.user_id).await;
    invited(&bob, &room).await;
    bob.leave(&room).await;
    let is_leave =
        |pdu: &Value| pdu["state_key"] == bob.user_id && pdu["content"]["membership"] == "leave";
    peer.heard().until_pdu("that Bob does not come", is_leave).await;
}

async fn unban(stage: Stage) {
    let (alice, bob) = stage.partners().await;
    let room = public_room(&bob).await;
    let server = bob.user_id.split_once(':').expect("a server").1.to_owned();
    alice.join(&room, &[&server]).await;
    becomes(&bob, &room, &alice, "join").await;
    let mut view = View::default();
    let within = |view: &View| view.rooms.contains_key(&room).then_some(());
    alice.until(&mut view, "that she is in", within).await;
    bob.moderate(&room, "ban", &alice.user_id).await.ok();
    let out = |view: &View| (!view.rooms.contains_key(&room)).then_some(());
    alice.until(&mut view, "that she is out", out).await;
    bob.moderate(&room, "unban", &alice.user_id).await.ok();
    bob.invite(&room, &alice.user_id).await;
    invited(&alice, &room).await;
    alice.join(&room, &[&server]).await;
    becomes(&bob, &room, &alice, "join").await;
}

async fn typing(stage: Stage) {
    let (alice, bob) = stage.partners().await;
    let room = public_room(&alice).await;
    let server = alice.user_id.split_once(':').expect("a server").1.to_owned();
    bob.join(&room, &[&server]).await;
    becomes(&alice, &room, &bob, "join").await;
    let mut view = View::default();
    bob.sync(&mut view, false).await;
    let path = ["rooms", room.as_str(), "typing", alice.user_id.as_str()];
    for typing in [true, false] {
        alice.put(&path, &json!({ "typing": typing, "timeout": 30_000 })).ok().await;
        let wanted = if typing { vec![alice.user_id.clone()] } else { Vec::new() };
        let seen = |view: &View| (view.rooms.get(&room)?.typing == wanted).then_some(());
        bob.until(&mut view, "who is typing", seen).await;
    }
}

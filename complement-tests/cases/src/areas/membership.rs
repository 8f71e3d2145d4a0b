//! Coming and going within one company.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{list, membership, public_room, set, text},
};
use harness::{Account, View};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestRoomMembers", joining),
        case("TestRoomMembers: moderation", moderation),
        case("TestRoomsInvite", invitations),
        case("TestNotPresentUserCannotBanOthers", absent_moderator),
        case("TestCannotKickNonPresentUser", kick_nobody),
        case("TestCannotKickLeftUser", kick_who_left),
        case("TestGetRoomMembers", members),
        case("TestGetFilteredRoomMembers", filtered_members),
        case("TestMembersLocal", told_of_members),
    ]
}

async fn joining(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let custom = json!({ "org.example.desk": 7 });
    for (row, way, body) in [
        ("POST /rooms/:room_id/join can join a room", "by room", json!({})),
        ("POST /join/:room_id can join a room", "by id", json!({})),
        ("POST /join/:room_alias can join a room", "by alias", json!({})),
        ("POST /join/:room_id can join a room with custom content", "by id", custom.clone()),
        ("POST /join/:room_alias can join a room with custom content", "by alias", custom),
    ] {
        stage
            .row(row, async {
                let name = company.localpart(&format!("hall{}", row.len()));
                let options = json!({ "preset": "public_chat", "room_alias_name": name });
                let room = alice.create_room(&options).await;
                let alias = format!("#{name}:{}", company.name);
                let answer = match way {
                    "by room" => bob.post(&["rooms", &room, "join"], &body),
                    "by id" => bob.post(&["join", &room], &body),
                    _ => bob.post(&["join", &alias], &body),
                };
                assert_eq!(answer.ok().await["room_id"], room);
                assert_eq!(membership(&alice, &room, &bob).await.as_deref(), Some("join"));
            })
            .await;
    }
    stage
        .row("Test that we can be reinvited to a room we created", async {
            let room = public_room(&alice).await;
            bob.join(&room, &[]).await;
            let levels = json!({ "users": { bob.user_id.as_str(): 100 } });
            let rules = json!({ "join_rule": "invite" });
            alice.set_state(&room, "m.room.power_levels", "", &levels).await;
            alice.set_state(&room, "m.room.join_rules", "", &rules).await;
            alice.leave(&room).await;
            alice.post(&["join", &room], &json!({})).answer().await.refused(403, "M_FORBIDDEN");
            bob.invite(&room, &alice.user_id).await;
            alice.join(&room, &[]).await;
            assert_eq!(membership(&bob, &room, &alice).await.as_deref(), Some("join"));
        })
        .await;
}

async fn moderation(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    for (row, verb, becomes) in [
        ("POST /rooms/:room_id/invite can send an invite", "invite", "invite"),
        ("POST /rooms/:room_id/kick takes an invitation back", "kick", "leave"),
        ("POST /rooms/:room_id/ban can ban a user", "ban", "ban"),
        ("POST /rooms/:room_id/unban lets him be", "unban", "leave"),
    ] {
        stage
            .row(row, async {
                alice.moderate(&room, verb, &bob.user_id).await.ok();
                assert_eq!(membership(&alice, &room, &bob).await.as_deref(), Some(becomes));
            })
            .await;
    }
    stage
        .row("POST /rooms/:room_id/leave can leave a room", async {
            bob.join(&room, &[]).await;
            bob.leave(&room).await;
            assert_eq!(membership(&alice, &room, &bob).await.as_deref(), Some("leave"));
        })
        .await;
    stage
        .row("who is banned cannot come back", async {
            alice.moderate(&room, "ban", &bob.user_id).await.ok();
            let answer = bob.post(&["join", &room], &json!({})).answer().await;
            assert_eq!(answer.status, 403, "{answer}");
            let again = alice.moderate(&room, "invite", &bob.user_id).await;
            assert_eq!(again.status, 403, "{again}");
        })
        .await;
}

/// Stripped state of an invitation, as soon as it is told.
async fn invitation(who: &Account, room: &str) -> Vec<Value> {
    let told = |view: &View| view.invited.get(room).cloned();
    who.until(&mut View::default(), "the invitation", told).await.into_values().collect()
}

async fn invitations(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let options = json!({ "preset": "private_chat", "name": "The chamber", "topic": "Salt" });
    let room = alice.create_room(&options).await;
    stage
        .row("Uninvited users cannot join the room", async {
            bob.post(&["join", &room], &json!({})).answer().await.refused(403, "M_FORBIDDEN");
        })
        .await;
    stage
        .row("Users cannot invite themselves to a room", async {
            let answer = alice.moderate(&room, "invite", &alice.user_id).await;
            answer.refused(403, "M_FORBIDDEN");
            let answer = bob.moderate(&room, "invite", &bob.user_id).await;
            assert_eq!(answer.status, 403, "{answer}");
        })
        .await;
    stage
        .row("Invited user can see room metadata", async {
            alice.invite(&room, &bob.user_id).await;
            let stripped = invitation(&bob, &room).await;
            let kinds = set(&stripped, "type");
            for kind in ["m.room.name", "m.room.join_rules", "m.room.create", "m.room.topic"] {
                assert!(kinds.contains(kind), "no {kind} in {stripped:?}");
            }
        })
        .await;
    stage
        .row("Invited user can reject invite", async {
            bob.leave(&room).await;
            assert_eq!(membership(&alice, &room, &bob).await.as_deref(), Some("leave"));
            let mut view = View::default();
            bob.sync(&mut view, false).await;
            assert!(view.invited.is_empty());
        })
        .await;
    stage
        .row("Can invite users to invite-only rooms", async {
            alice.invite(&room, &bob.user_id).await;
            bob.join(&room, &[]).await;
            assert_eq!(membership(&alice, &room, &bob).await.as_deref(), Some("join"));
        })
        .await;
    stage
        .row("Users cannot invite a user that is already in the room", async {
            let answer = alice.moderate(&room, "invite", &bob.user_id).await;
            answer.refused(403, "M_FORBIDDEN");
        })
        .await;
    stage
        .row("Invited user can reject invite for empty room", async {
            let room = alice.create_room(&json!({ "preset": "private_chat" })).await;
            alice.invite(&room, &bob.user_id).await;
            alice.leave(&room).await;
            invitation(&bob, &room).await;
            bob.leave(&room).await;
            let mut view = View::default();
            bob.sync(&mut view, false).await;
            assert!(!view.invited.contains_key(&room));
        })
        .await;
}

async fn absent_moderator(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let carol = company.person("carol").await;
    let levels = json!({ "users": { carol.user_id.as_str(): 100 } });
    let options = json!({ "preset": "public_chat", "power_level_content_override": levels });
    let room = alice.create_room(&options).await;
    bob.join(&room, &[]).await;
    let answer = carol.moderate(&room, "ban", &bob.user_id).await;
    answer.refused(403, "M_FORBIDDEN");
    assert_eq!(membership(&alice, &room, &bob).await.as_deref(), Some("join"));
}

async fn kick_nobody(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    alice.moderate(&room, "kick", &bob.user_id).await.refused(403, "M_FORBIDDEN");
    assert_eq!(membership(&alice, &room, &bob).await, None);
}

async fn kick_who_left(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    bob.leave(&room).await;
    let left = alice.state(&room).await;
    alice.moderate(&room, "kick", &bob.user_id).await.refused(403, "M_FORBIDDEN");
    assert_eq!(alice.state(&room).await, left);
}

async fn members(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    let members = alice.get(&["rooms", &room, "members"]).ok().await;
    let chunk = list(&members, "/chunk");
    assert_eq!(set(chunk, "state_key"), [alice.user_id, bob.user_id].into());
    assert!(chunk.iter().all(|event| event["type"] == "m.room.member"), "{members}");
    assert!(chunk.iter().all(|event| event["room_id"] == room), "{members}");
}

async fn filtered_members(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let carol = company.person("carol").await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    bob.leave(&room).await;
    alice.invite(&room, &carol.user_id).await;
    for (row, query, wanted) in [
        ("membership/join", ("membership", "join"), vec![&alice]),
        ("membership/leave", ("membership", "leave"), vec![&bob]),
        ("not_membership", ("not_membership", "leave"), vec![&alice, &carol]),
    ] {
        stage
            .row(row, async {
                let members = alice.get(&["rooms", &room, "members"]).query(&[query]).ok().await;
                let wanted = wanted.iter().map(|who| who.user_id.clone()).collect();
                assert_eq!(set(list(&members, "/chunk"), "state_key"), wanted);
            })
            .await;
    }
}

async fn told_of_members(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    let (mut of_alice, mut of_bob) = (View::default(), View::default());
    alice.sync(&mut of_alice, false).await;
    bob.sync(&mut of_bob, false).await;
    bob.join(&room, &[]).await;
    let is_join = |event: &&Value| {
        event["state_key"] == bob.user_id && event["content"]["membership"] == "join"
    };
    for (row, who, view) in [
        ("New room members see their own join event", &bob, &mut of_bob),
        ("Existing members see new members' join events", &alice, &mut of_alice),
    ] {
        stage
            .row(row, async {
                let told = |view: &View| view.timeline(&room).iter().find(is_join).cloned();
                let event = who.until(view, "the join", told).await;
                text(&event, "/event_id");
                assert_eq!(event["sender"], bob.user_id);
            })
            .await;
    }
}

//! Rooms that one may join because one is in another room.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{becomes, public_room, text},
};
use harness::{Account, Answer, eventually};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    let (eight, ten) = (("8", "restricted"), ("10", "knock_restricted"));
    vec![
        case("TestRestrictedRoomsLocalJoin", move |stage| joins(stage, eight, false)),
        case("TestRestrictedRoomsLocalJoinInMSC3787Room", move |stage| joins(stage, ten, false)),
        case("TestRestrictedRoomsRemoteJoin", move |stage| joins(stage, eight, true)),
        case("TestRestrictedRoomsRemoteJoinInMSC3787Room", move |stage| joins(stage, ten, true)),
        case("TestRestrictedRoomsRemoteJoinLocalUser", move |stage| local_user(stage, eight)),
        case("TestRestrictedRoomsRemoteJoinLocalUserInMSC3787Room", move |stage| {
            local_user(stage, ten)
        }),
        case("TestRestrictedRoomsRemoteJoinFailOver", move |stage| fail_over(stage, eight)),
        case("TestRestrictedRoomsRemoteJoinFailOverInMSC3787Room", move |stage| {
            fail_over(stage, ten)
        }),
        case("TestRestrictedRoomsLocalJoinNoCreatorsUsesPowerLevelsV11", |stage| {
            by_power(stage, ("11", "restricted"))
        }),
        case("TestRestrictedRoomsLocalJoinNoCreatorsUsesPowerLevelsV12", |stage| {
            by_power(stage, ("12", "restricted"))
        }),
        case("TestKnockRestrictedRoomsLocalJoinNoCreatorsUsesPowerLevelsV11", |stage| {
            by_power(stage, ("11", "knock_restricted"))
        }),
        case("TestKnockRestrictedRoomsLocalJoinNoCreatorsUsesPowerLevelsV12", |stage| {
            by_power(stage, ("12", "knock_restricted"))
        }),
    ]
}

type Rule = (&'static str, &'static str);

fn rules(join_rule: &str, hall: &str) -> Value {
    let allow = json!([{ "type": "m.room_membership", "room_id": hall, "via": [] }]);
    json!({ "join_rule": join_rule, "allow": allow })
}

/// A hall for everybody, and a chamber for those who are in the hall.
async fn hall_and_chamber(alice: &Account, (version, join_rule): Rule) -> (String, String) {
    let hall = public_room(alice).await;
    let content = rules(join_rule, &hall);
    let rule = json!({ "type": "m.room.join_rules", "state_key": "", "content": content });
    let options = json!({ "room_version": version, "initial_state": [rule] });
    (hall, alice.create_room(&options).await)
}

async fn enter(who: &Account, room: &str, via: &[&str]) -> Answer {
    let via = via.iter().flat_map(|via| [("via", *via), ("server_name", *via)]);
    who.post(&["join", room], &json!({})).query(&via.collect::<Vec<_>>()).answer().await
}

/// Who vouched for somebody's join.
async fn voucher(seen_by: &Account, room: &str, of: &Account) -> String {
    let content = seen_by.state_content(room, "m.room.member", &of.user_id).await;
    text(&content.expect("a membership"), "/join_authorised_via_users_server")
}

async fn joins(stage: Stage, rule: Rule, remote: bool) {
    let [here, there] = stage.companies().await;
    let alice = here.person("alice").await;
    let bob = if remote { there.person("bob").await } else { here.person("bob").await };
    let (hall, chamber) = hall_and_chamber(&alice, rule).await;
    let via = [here.name.as_str()];
    stage
        .row("Join should fail initially", async {
            enter(&bob, &chamber, &via).await.refused(403, "M_FORBIDDEN");
        })
        .await;
    stage
        .row("Join should succeed when joined to allowed room", async {
            bob.join(&hall, &via).await;
            becomes(&alice, &hall, &bob, "join").await;
            enter(&bob, &chamber, &via).await.ok();
            becomes(&alice, &chamber, &bob, "join").await;
            assert_eq!(voucher(&alice, &chamber, &bob).await, alice.user_id);
        })
        .await;
    stage
        .row("Join should fail when left allowed room", async {
            bob.leave(&chamber).await;
            bob.leave(&hall).await;
            becomes(&alice, &chamber, &bob, "leave").await;
            becomes(&alice, &hall, &bob, "leave").await;
            enter(&bob, &chamber, &via).await.refused(403, "M_FORBIDDEN");
        })
        .await;
    stage
        .row("Join should succeed when invited", async {
            alice.invite(&chamber, &bob.user_id).await;
            eventually("the invitation came", async || {
                enter(&bob, &chamber, &via).await.status.is_success().then_some(())
            })
            .await;
            bob.leave(&chamber).await;
            becomes(&alice, &chamber, &bob, "leave").await;
        })
        .await;
    stage
        .row("Join should fail with mangled join rules", async {
            bob.join(&hall, &via).await;
            becomes(&alice, &hall, &bob, "join").await;
            for allow in [json!([]), json!(["invalid"]), json!([{ "type": "m.room_membership" }])] {
                let content = json!({ "join_rule": rule.1, "allow": allow });
                alice.set_state(&chamber, "m.room.join_rules", "", &content).await;
                let answer = enter(&bob, &chamber, &via).await;
                assert_eq!(answer.status, 403, "{answer}");
            }
        })
        .await;
}

/// Somebody's own server is in the room and has nobody who could vouch: another server must.
async fn local_user(stage: Stage, rule: Rule) {
    let [here, there] = stage.companies().await;
    let alice = here.person("alice").await;
    let (bob, carol) = (there.person("bob").await, there.person("carol").await);
    let (hall, chamber) = hall_and_chamber(&alice, rule).await;
    let mut levels =
        alice.state_content(&chamber, "m.room.power_levels", "").await.expect("levels");
    levels["invite"] = json!(50);
    alice.set_state(&chamber, "m.room.power_levels", "", &levels).await;
    for (person, via) in [(&bob, &here.name), (&carol, &there.name)] {
        let early = enter(person, &chamber, &[via]).await;
        assert!(early.status.is_client_error(), "{early}");
        person.join(&hall, &[&here.name]).await;
        becomes(&alice, &hall, person, "join").await;
        // Carol names her own server only, which has to find the other one by itself.
        enter(person, &chamber, &[via]).await.ok();
        becomes(&alice, &chamber, person, "join").await;
        assert_eq!(voucher(&alice, &chamber, person).await, alice.user_id);
        becomes(&bob, &chamber, person, "join").await;
    }
}

/// A server that cannot vouch says so, and the next one is asked.
async fn fail_over(stage: Stage, rule: Rule) {
    let [here, there, far] = stage.companies().await;
    let alice = here.person("alice").await;
    let (bob, carol) = (there.person("bob").await, far.person("carol").await);
    let (hall, chamber) = hall_and_chamber(&alice, rule).await;
    let mut levels =
        alice.state_content(&chamber, "m.room.power_levels", "").await.expect("levels");
    levels["invite"] = json!(50);
    alice.set_state(&chamber, "m.room.power_levels", "", &levels).await;
    for person in [&bob, &carol] {
        person.join(&hall, &[&here.name]).await;
        becomes(&alice, &hall, person, "join").await;
    }
    enter(&bob, &chamber, &[&here.name]).await.ok();
    becomes(&bob, &hall, &carol, "join").await;
    stage
        .row("who cannot vouch does not let in", async {
            let answer = enter(&carol, &chamber, &[&there.name]).await;
            assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{answer}");
        })
        .await;
    stage
        .row("the next server is asked", async {
            enter(&carol, &chamber, &[&there.name, &here.name]).await.ok();
            becomes(&alice, &chamber, &carol, "join").await;
            assert_eq!(voucher(&alice, &chamber, &carol).await, alice.user_id);
        })
        .await;
}

/// Whoever has the power to invite vouches for colleagues, although a company of others made the room.
async fn by_power(stage: Stage, rule: Rule) {
    let [here, there] = stage.companies().await;
    let alice = here.person("alice").await;
    let (bob, carol) = (there.person("bob").await, there.person("carol").await);
    let (hall, chamber) = hall_and_chamber(&alice, rule).await;
    let mut levels =
        alice.state_content(&chamber, "m.room.power_levels", "").await.expect("levels");
    levels["invite"] = json!(50);
    levels["users"][&bob.user_id] = json!(50);
    alice.set_state(&chamber, "m.room.power_levels", "", &levels).await;
    for person in [&bob, &carol] {
        person.join(&hall, &[&here.name]).await;
        becomes(&bob, &hall, person, "join").await;
    }
    enter(&bob, &chamber, &[&here.name]).await.ok();
    eventually("Carol is let in by her own server", async || {
        enter(&carol, &chamber, &[]).await.status.is_success().then_some(())
    })
    .await;
    becomes(&alice, &chamber, &carol, "join").await;
    assert_eq!(voucher(&bob, &chamber, &carol).await, bob.user_id);
}

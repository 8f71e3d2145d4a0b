//! Room version 12: creators above all power, and ids that are hashes.

use super::federated_events::guest;
use crate::{
    case::{Case, case},
    stage::Stage,
    words::{list, membership, text},
};
use harness::{Account, View};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestMSC4289PrivilegedRoomCreators", creators),
        case("TestMSC4289PrivilegedRoomCreators_Additional", additional),
        case("TestMSC4289PrivilegedRoomCreators_InvitedAreCreators", |stage| invited(stage, false)),
        case("TestMSC4289PrivilegedRoomCreators_AdditionalCreatorsAndInvited", |stage| {
            invited(stage, true)
        }),
        case("TestMSC4289PrivilegedRoomCreators_AdditionalValidation", validation),
        case("TestMSC4291RoomIDAsHashOfCreateEvent", id_is_hash),
        case("TestComplementCanCreateValidV12Rooms", peers_room),
        case("TestMSC4291RoomIDAsHashOfCreateEvent_AuthEventsOmitsCreateEvent", auth_events),
        case("TestMSC4291RoomIDAsHashOfCreateEvent_CannotSendCreateEvent", second_creation),
        case("TestMSC4291RoomIDAsHashOfCreateEvent_RoomIDIsOnCreateEvent", id_is_shown),
        case("TestMSC4311FullCreateEventOnStrippedState", full_creation),
    ]
}

async fn room_of_twelve(alice: &Account, more: Value) -> String {
    let mut options = json!({ "room_version": "12", "preset": "public_chat" });
    for (key, value) in more.as_object().into_iter().flatten() {
        options[key] = value.clone();
    }
    alice.create_room(&options).await
}

async fn levels(who: &Account, room: &str) -> Value {
    who.state_content(room, "m.room.power_levels", "").await.expect("power levels")
}

/// Gives somebody a power level.
async fn raise(alice: &Account, room: &str, whom: &Account, level: i64) {
    let mut content = levels(alice, room).await;
    content["users"][&whom.user_id] = json!(level);
    alice.set_state(room, "m.room.power_levels", "", &content).await;
}

const LARGEST: i64 = 9_007_199_254_740_991;

async fn creators(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = room_of_twelve(&alice, json!({})).await;
    stage
        .row("PL event is missing creator in users map", async {
            let levels = levels(&alice, &room).await;
            assert!(levels["users"].get(&alice.user_id).is_none(), "{levels}");
        })
        .await;
    stage
        .row("m.room.tombstone needs PL150 in the PL event", async {
            let levels = levels(&alice, &room).await;
            assert_eq!(levels["events"]["m.room.tombstone"], 150, "{levels}");
        })
        .await;
    stage
        .row("creator cannot set self in PL event", async {
            let mut content = levels(&alice, &room).await;
            content["users"][&alice.user_id] = json!(100);
            let answer = alice.try_set_state(&room, "m.room.power_levels", "", &content).await;
            assert!(matches!(answer.status.as_u16(), 400 | 403), "{answer}");
        })
        .await;
    for (row, level) in [
        ("creator can kick admin", 100),
        ("creator can kick admin above PL100", 1_000_000),
        ("creator can kick admin at JSON max value", LARGEST),
    ] {
        stage
            .row(row, async {
                bob.join(&room, &[]).await;
                raise(&alice, &room, &bob, level).await;
                let answer = bob.moderate(&room, "kick", &alice.user_id).await;
                answer.refused(403, "M_FORBIDDEN");
                alice.moderate(&room, "kick", &bob.user_id).await.ok();
                assert_eq!(membership(&alice, &room, &bob).await.as_deref(), Some("leave"));
            })
            .await;
    }
    stage
        .row("power level cannot be set beyond max canonical JSON int", async {
            let mut content = levels(&alice, &room).await;
            content["users"][&bob.user_id] = json!(LARGEST + 1);
            let answer = alice.try_set_state(&room, "m.room.power_levels", "", &content).await;
            assert_eq!(answer.status, 400, "{answer}");
        })
        .await;
    stage
        .row("power_level_content_override can be set", async {
            let content = json!({ "users": { bob.user_id.as_str(): 70 }, "ban": 80 });
            let room =
                room_of_twelve(&alice, json!({ "power_level_content_override": content })).await;
            let levels = levels(&alice, &room).await;
            assert_eq!((&levels["users"][&bob.user_id], &levels["ban"]), (&json!(70), &json!(80)));
        })
        .await;
    stage
        .row("power_level_content_override cannot set the room creator", async {
            let content = json!({ "users": { alice.user_id.as_str(): 100 } });
            let options = json!({ "room_version": "12", "power_level_content_override": content });
            let answer = alice.post(&["createRoom"], &options).answer().await;
            assert_eq!(answer.status, 400, "{answer}");
        })
        .await;
}

async fn additional(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let carol = company.person("carol").await;
    let content = json!({ "additional_creators": [bob.user_id] });
    let room = room_of_twelve(&alice, json!({ "creation_content": content })).await;
    bob.join(&room, &[]).await;
    carol.join(&room, &[]).await;
    // Without a word in the power levels he stands above everybody who is named there.
    raise(&alice, &room, &carol, LARGEST).await;
    bob.moderate(&room, "kick", &carol.user_id).await.ok();
    carol.join(&room, &[]).await;
    carol.moderate(&room, "kick", &bob.user_id).await.refused(403, "M_FORBIDDEN");
    alice.moderate(&room, "kick", &bob.user_id).await.refused(403, "M_FORBIDDEN");
}

async fn invited(stage: Stage, with_additional: bool) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let carol = company.person("carol").await;
    let mut options = json!({ "preset": "trusted_private_chat", "invite": [bob.user_id] });
    let mut wanted = vec![json!(bob.user_id)];
    if with_additional {
        options["creation_content"] = json!({ "additional_creators": [carol.user_id] });
        wanted.push(json!(carol.user_id));
    }
    let room = room_of_twelve(&alice, options).await;
    let create = alice.state_content(&room, "m.room.create", "").await.expect("the creation");
    let mut creators = list(&create, "/additional_creators").to_vec();
    creators.sort_by_key(Value::to_string);
    wanted.sort_by_key(Value::to_string);
    assert_eq!(creators, wanted);
    assert!(levels(&alice, &room).await["users"].get(&bob.user_id).is_none());
}

async fn validation(stage: Stage) {
    let alice = stage.person().await;
    for (row, value) in [
        ("additional_creators isn't an array", json!("@bob:example.org")),
        ("an additional creator isn't a string", json!([17])),
        ("an additional creator isn't a user id", json!(["bob"])),
        ("an additional creator has no server", json!(["@bob"])),
        ("an additional creator has no sigil", json!(["bob:example.org"])),
    ] {
        stage
            .row(row, async {
                let content = json!({ "additional_creators": value });
                let options = json!({ "room_version": "12", "creation_content": content });
                let answer = alice.post(&["createRoom"], &options).answer().await;
                assert_eq!(answer.status, 400, "{answer}");
            })
            .await;
    }
}

async fn id_is_hash(stage: Stage) {
    let alice = stage.person().await;
    let room = room_of_twelve(&alice, json!({})).await;
    let state = alice.state(&room).await;
    let create = &state.0[&("m.room.create".to_owned(), String::new())];
    assert_eq!(room, create.replacen('$', "!", 1));
}

async fn peers_room(stage: Stage) {
    let (company, alice, peer, room) = guest(&stage, "12").await;
    let said = peer.say(&company, &room, "charlie", "welcome").await;
    alice.until_event(&mut View::default(), &room, &said.id).await;
    let create = alice.state_content(&room, "m.room.create", "").await.expect("the creation");
    assert_eq!(create["room_version"], "12");
}

async fn auth_events(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let peer = stage.peer().await;
    let room = room_of_twelve(&alice, json!({})).await;
    peer.join(&company, &room, "charlie").await;
    alice.set_state(&room, "m.room.name", "", &json!({ "name": "The hall" })).await;
    alice.say(&room, "nobody needs to name the creation").await;
    let create = room.replacen('!', "$", 1);
    for kind in ["m.room.name", "m.room.message"] {
        let pdu = peer.heard().until_pdu(kind, |pdu| pdu["type"] == kind).await;
        let named = list(&pdu, "/auth_events");
        assert!(!named.is_empty() && !named.contains(&json!(create)), "{pdu}");
    }
}

async fn second_creation(stage: Stage) {
    let alice = stage.person().await;
    let room = room_of_twelve(&alice, json!({})).await;
    let before = alice.state(&room).await;
    let content = json!({ "room_version": "12", "org.example.again": true });
    let as_state = alice.try_set_state(&room, "m.room.create", "", &content).await;
    assert!(as_state.status.is_client_error(), "{as_state}");
    assert_eq!(alice.state(&room).await, before);
}

async fn id_is_shown(stage: Stage) {
    let alice = stage.person().await;
    let room = room_of_twelve(&alice, json!({})).await;
    let create = room.replacen('!', "$", 1);
    let event = alice.event(&room, &create).await.expect("the creation");
    assert_eq!(event["room_id"], room, "/event");
    let history = alice.history(&room).await;
    let event = history.iter().find(|event| event["event_id"] == create).expect("the creation");
    assert_eq!(event["room_id"], room, "/messages");
    let state = alice.get(&["rooms", &room, "state"]).ok().await;
    let event = list(&state, "").iter().find(|event| event["event_id"] == create);
    assert_eq!(event.expect("the creation")["room_id"], room, "/state");
    let context = alice.get(&["rooms", &room, "context", &create]).ok().await;
    assert_eq!(context["event"]["room_id"], room, "/context");
}

async fn full_creation(stage: Stage) {
    let alice = stage.person().await;
    let peer = stage.peer().await;
    let room = room_of_twelve(&alice, json!({})).await;
    alice.invite(&room, &peer.user("charlie")).await;
    let invitation = peer.heard().until_invitation().await;
    let shown = list(&invitation, "/invite_room_state");
    let create = shown.iter().find(|event| event["type"] == "m.room.create");
    let create = create.unwrap_or_else(|| panic!("no creation in {invitation}"));
    // The whole event: whoever is invited can tell that the room's id is its hash.
    text(create, "/hashes/sha256");
    let rules = ruma::RoomVersionId::V12.rules().expect("version 12");
    let object = serde_json::from_value(create.clone()).expect("canonical JSON");
    let hash = ruma::signatures::reference_hash(&object, &rules).expect("a hash");
    assert_eq!(room, format!("!{hash}"));
}

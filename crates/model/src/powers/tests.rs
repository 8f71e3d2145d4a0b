//! Powers in rooms with and without power levels.

use ruma::{int, user_id};
use serde_json::json;

use super::*;
use crate::{build::tests::Author, room_version::RoomVersion};

fn create(version: RoomVersion) -> Pdu {
    let alice = Author::new("alice");
    let content = match version {
        RoomVersion::V12 => json!({"additional_creators": ["@carol:c.example"]}),
        _ => json!({"creator": "@alice:acme.example"}),
    };
    alice.state("m.room.create", "", content, version)
}

#[test]
fn without_power_levels_the_creator_has_100_and_since_version_12_no_limit() {
    let (alice, bob) = (user_id!("@alice:acme.example"), user_id!("@bob:b.example"));
    let old = create(RoomVersion::V10);
    let powers = Powers::new(&old, None);
    assert_eq!(powers.of(alice), int!(100));
    assert_eq!(powers.of(bob), int!(0));
    assert!(powers.may_send(bob, "m.room.message", false));
    assert!(!powers.may_send(bob, "m.room.topic", true));
    assert_eq!(powers.needed_to_notify("room"), int!(50));
    let new = create(RoomVersion::V12);
    let powers = Powers::new(&new, None);
    assert_eq!(powers.of(alice), UserPowerLevel::Infinite);
    assert_eq!(powers.of(user_id!("@carol:c.example")), UserPowerLevel::Infinite);
    assert_eq!(powers.of(bob), int!(0));
}

#[test]
fn power_levels_decide_where_there_are_some() {
    let (alice, bob) = (user_id!("@alice:acme.example"), user_id!("@bob:b.example"));
    let create = create(RoomVersion::V11);
    let levels = Author::new("alice").state(
        "m.room.power_levels",
        "",
        json!({
            "users": {"@bob:b.example": 30}, "users_default": 5, "events": {"m.room.name": 30},
            "kick": 30, "notifications": {"room": 20},
        }),
        RoomVersion::V11,
    );
    let powers = Powers::new(&create, Some(&levels));
    assert_eq!((powers.of(alice), powers.of(bob)), (int!(5).into(), int!(30).into()));
    assert!(powers.may(bob, RoomPowerLevelsIntField::Kick));
    assert!(!powers.may(bob, RoomPowerLevelsIntField::Ban));
    assert!(powers.may_send(bob, "m.room.name", true));
    assert!(!powers.may_send(bob, "m.room.topic", true));
    assert_eq!(powers.needed_to_notify("room"), int!(20));
}

#[test]
fn malformed_power_levels_give_nobody_any_power() {
    let create = create(RoomVersion::V11);
    let content = json!({"users": 7, "ban": "x", "events": [], "notifications": 1});
    let levels = Author::new("alice").state("m.room.power_levels", "", content, RoomVersion::V11);
    let powers = Powers::new(&create, Some(&levels));
    let alice = user_id!("@alice:acme.example");
    assert!(!powers.may(alice, RoomPowerLevelsIntField::Ban));
    assert!(!powers.may_send(alice, "m.room.message", false));
    assert_eq!(powers.needed_to_notify("room"), Int::MAX);
}

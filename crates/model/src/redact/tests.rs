//! What survives a redaction in which room version.

use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::build::tests::Author;

fn check(event_type: &str, content: serde_json::Value, version: RoomVersion, expected: Expect) {
    let pdu = Author::new("alice").state(event_type, "", content, version);
    let redacted = redact(&pdu).unwrap();
    assert_eq!(redacted.event_id, pdu.event_id);
    expected.assert_eq(redacted.content().get());
}

#[test]
fn a_message_loses_its_content() {
    check("m.room.topic", json!({"topic": "x"}), RoomVersion::V12, expect!["{}"]);
}

#[test]
fn a_create_event_keeps_only_its_creator_before_version_11_and_all_since() {
    let content = json!({"creator": "@alice:acme.example", "room_version": "10", "x": 1});
    check(
        "m.room.create",
        content.clone(),
        RoomVersion::V10,
        expect![[r#"{"creator":"@alice:acme.example"}"#]],
    );
    check(
        "m.room.create",
        content,
        RoomVersion::V11,
        expect![[r#"{"creator":"@alice:acme.example","room_version":"10","x":1}"#]],
    );
}

#[test]
fn join_rules_keep_allow_since_version_8() {
    let content = json!({"join_rule": "restricted", "allow": [], "x": 1});
    check(
        "m.room.join_rules",
        content.clone(),
        RoomVersion::V7,
        expect![[r#"{"join_rule":"restricted"}"#]],
    );
    check(
        "m.room.join_rules",
        content,
        RoomVersion::V8,
        expect![[r#"{"allow":[],"join_rule":"restricted"}"#]],
    );
}

#[test]
fn power_levels_keep_invite_since_version_11() {
    let content = json!({"ban": 1, "invite": 2, "notifications": {"room": 3}, "users": {}});
    check(
        "m.room.power_levels",
        content.clone(),
        RoomVersion::V10,
        expect![[r#"{"ban":1,"users":{}}"#]],
    );
    check(
        "m.room.power_levels",
        content,
        RoomVersion::V11,
        expect![[r#"{"ban":1,"invite":2,"users":{}}"#]],
    );
}

#[test]
fn a_member_event_keeps_what_the_rules_of_its_version_read() {
    let content = json!({
        "membership": "join", "displayname": "x", "reason": "y",
        "join_authorised_via_users_server": "@bob:b.example",
        "third_party_invite": {"display_name": "z", "signed": {"token": "t"}},
    });
    check("m.room.member", content.clone(), RoomVersion::V8, expect![[r#"{"membership":"join"}"#]]);
    check(
        "m.room.member",
        content.clone(),
        RoomVersion::V9,
        expect![[r#"{"join_authorised_via_users_server":"@bob:b.example","membership":"join"}"#]],
    );
    check(
        "m.room.member",
        content,
        RoomVersion::V11,
        expect![[
            r#"{"join_authorised_via_users_server":"@bob:b.example","membership":"join","third_party_invite":{"signed":{"token":"t"}}}"#
        ]],
    );
}

#[test]
fn history_visibility_survives() {
    check(
        "m.room.history_visibility",
        json!({"history_visibility": "joined", "x": 1}),
        RoomVersion::V6,
        expect![[r#"{"history_visibility":"joined"}"#]],
    );
}

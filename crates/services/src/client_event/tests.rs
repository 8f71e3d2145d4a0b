use expect_test::{Expect, expect};
use model::{EventNumber, room_version::RoomVersion};
use store::events::{EventRecord, Place, Standing};

use super::*;

fn stored(version: RoomVersion, json: &str) -> StoredEvent {
    let mut pdu = vec![version.to_byte()];
    pdu.extend_from_slice(json.as_bytes());
    let record = EventRecord {
        event_id: "$event".to_owned(),
        standing: Standing::Accepted,
        state_before: None,
        state_after: None,
        auth: Vec::new(),
        place: Place::Nowhere,
        redacted_by: None,
        sent_by: None,
    };
    StoredEvent { number: EventNumber(1), record, pdu: pdu.into() }
}

fn check(version: RoomVersion, json: &str, format: EventFormat, expected: &Expect) {
    let stored = ClientEvent::from(stored(version, json));
    let room_id = <&RoomId>::try_from("!room:acme.example").unwrap();
    let unsigned = Unsigned { age: Some(5), ..Unsigned::default() };
    expected.assert_eq(stored.to_json(room_id, format, Some(&unsigned)).unwrap().get());
}

const MESSAGE: &str = r#"{"auth_events":[],"content":{"body":"a \"b\""},"depth":1,"hashes":{},"origin_server_ts":7,"prev_events":[],"room_id":"!room:acme.example","sender":"@alice:acme.example","signatures":{},"type":"m.room.message"}"#;
const CREATE: &str = r#"{"auth_events":[],"content":{},"depth":1,"origin_server_ts":7,"prev_events":[],"sender":"@alice:acme.example","state_key":"","type":"m.room.create"}"#;

#[test]
fn a_client_sees_the_fields_that_are_for_clients() {
    check(
        RoomVersion::V11,
        MESSAGE,
        EventFormat::Sync,
        &expect![[
            r#"{"content":{"body":"a \"b\""},"event_id":"$event","origin_server_ts":7,"sender":"@alice:acme.example","type":"m.room.message","unsigned":{"age":5}}"#
        ]],
    );
}

#[test]
fn a_create_event_without_a_room_id_is_shown_with_it() {
    check(
        RoomVersion::V12,
        CREATE,
        EventFormat::Full,
        &expect![[
            r#"{"content":{},"event_id":"$event","origin_server_ts":7,"sender":"@alice:acme.example","state_key":"","type":"m.room.create","room_id":"!room:acme.example","unsigned":{"age":5}}"#
        ]],
    );
}

#[test]
fn a_redaction_names_its_target_where_old_and_new_clients_look() {
    let old = r#"{"content":{"reason":"spam"},"origin_server_ts":7,"redacts":"$target","sender":"@alice:acme.example","type":"m.room.redaction"}"#;
    check(
        RoomVersion::V10,
        old,
        EventFormat::Sync,
        &expect![[
            r#"{"content":{"reason":"spam","redacts":"$target"},"event_id":"$event","origin_server_ts":7,"redacts":"$target","sender":"@alice:acme.example","type":"m.room.redaction","unsigned":{"age":5}}"#
        ]],
    );
    let new = r#"{"content":{"redacts":"$target"},"origin_server_ts":7,"sender":"@alice:acme.example","type":"m.room.redaction"}"#;
    check(
        RoomVersion::V11,
        new,
        EventFormat::Sync,
        &expect![[
            r#"{"content":{"redacts":"$target"},"event_id":"$event","origin_server_ts":7,"redacts":"$target","sender":"@alice:acme.example","type":"m.room.redaction","unsigned":{"age":5}}"#
        ]],
    );
}

#[test]
fn an_event_as_servers_exchange_it_is_what_was_stored() {
    let stored = ClientEvent::from(stored(RoomVersion::V11, MESSAGE));
    let room_id = <&RoomId>::try_from("!room:acme.example").unwrap();
    assert_eq!(stored.to_json(room_id, EventFormat::Federation, None).unwrap().get(), MESSAGE);
}

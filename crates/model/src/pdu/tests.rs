//! Events from the wire, from the store, and for clients.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use ruma::state_res::{self, Event};
use serde_json::{Value, json};

use super::*;
use crate::build::tests::Author;

/// A valid event of a version, to be spoilt by a test.
fn valid(version: RoomVersion) -> Value {
    let pdu = Author::new("alice").message(json!({"body": "hello"}), version);
    serde_json::from_str(pdu.json_str()).unwrap()
}

fn refusal(version: RoomVersion, spoil: impl Fn(&mut Value)) -> String {
    let mut event = valid(version);
    spoil(&mut event);
    match Pdu::from_wire(event.to_string().as_bytes(), version) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn check(version: RoomVersion, spoil: impl Fn(&mut Value), expected: Expect) {
    expected.assert_eq(&refusal(version, spoil));
}

const V12: RoomVersion = RoomVersion::V12;

#[test]
fn every_missing_field_is_refused() {
    for field in [
        "auth_events",
        "content",
        "depth",
        "hashes",
        "origin_server_ts",
        "prev_events",
        "room_id",
        "sender",
        "signatures",
        "type",
    ] {
        for version in RoomVersion::ALL {
            let refusal = refusal(version, |event| {
                event.as_object_mut().unwrap().remove(field);
            });
            assert_eq!(refusal, format!("the event has no `{field}`"));
        }
    }
}

#[test]
fn every_field_of_the_wrong_type_is_refused() {
    for field in [
        "auth_events",
        "content",
        "depth",
        "hashes",
        "origin_server_ts",
        "prev_events",
        "room_id",
        "sender",
        "signatures",
        "type",
        "state_key",
    ] {
        for wrong in [json!(null), json!(true), json!(-1)] {
            let refusal = refusal(V12, |event| event[field] = wrong.clone());
            assert_eq!(refusal, format!("`{field}` has the wrong type"));
        }
    }
    check(
        V12,
        |e| e["hashes"] = json!({"sha256": 1}),
        expect!["`hashes.sha256` has the wrong type"],
    );
    check(V12, |e| e["signatures"]["x"] = json!("y"), expect!["`signatures` has the wrong type"]);
    check(
        V12,
        |e| e["prev_events"] = json!([["$a", {}]]),
        expect!["`prev_events` has the wrong type"],
    );
}

#[test]
fn names_are_counted_in_bytes() {
    let umlauts = "ü".repeat(128);
    check(V12, |e| e["type"] = json!(umlauts), expect!["`type` is longer than 255 bytes"]);
    check(
        V12,
        |e| e["state_key"] = json!(umlauts),
        expect!["`state_key` is longer than 255 bytes"],
    );
    check(V12, |e| e["state_key"] = json!("ü".repeat(127)), expect!["accepted"]);
    check(
        V12,
        |e| e["sender"] = json!(format!("@{}:b", "a".repeat(253))),
        expect!["`sender` is longer than 255 bytes"],
    );
    check(
        V12,
        |e| e["prev_events"] = json!([format!("${}", "a".repeat(255))]),
        expect!["`prev_events` is longer than 255 bytes"],
    );
}

#[test]
fn identifiers_follow_their_grammar() {
    check(V12, |e| e["sender"] = json!("alice"), expect!["`sender` is not a valid identifier"]);
    check(V12, |e| e["room_id"] = json!("#a:b"), expect!["`room_id` is not a valid identifier"]);
    check(
        V12,
        |e| e["auth_events"] = json!(["a"]),
        expect!["`auth_events` is not a valid identifier"],
    );
}

#[test]
fn an_event_has_at_most_20_predecessors_and_10_authorities() {
    let events = |count| json!(vec!["$a"; count]);
    check(V12, |e| e["prev_events"] = events(20), expect!["accepted"]);
    check(V12, |e| e["prev_events"] = events(21), expect!["`prev_events` has too many entries"]);
    check(V12, |e| e["auth_events"] = events(10), expect!["accepted"]);
    check(V12, |e| e["auth_events"] = events(11), expect!["`auth_events` has too many entries"]);
}

#[test]
fn numbers_stay_within_canonical_json() {
    check(V12, |e| e["depth"] = json!(DEPTH_MAX), expect!["accepted"]);
    check(
        V12,
        |e| e["content"] = json!({"x": 0.5}),
        expect![
            "not a canonical JSON object: float cannot be serialized as canonical JSON at line 1 column 37"
        ],
    );
    check(
        V12,
        |e| e["depth"] = json!(DEPTH_MAX + 1),
        expect![
            "not a canonical JSON object: integer is out of the range of `js_int::Int` at line 1 column 69"
        ],
    );
}

#[test]
fn the_size_limit_counts_signatures_but_not_unsigned() {
    let padded =
        |event: &mut Value, bytes: usize| event["content"]["body"] = json!("x".repeat(bytes));
    let length = Author::new("alice").message(json!({"body": ""}), V12).json().len();
    check(V12, |e| padded(e, 65_536 - length), expect!["accepted"]);
    check(
        V12,
        |e| padded(e, 65_537 - length),
        expect!["the event has 65537 bytes, more than 65536"],
    );
    check(V12, |e| e["unsigned"] = json!({"x": "y".repeat(70_000)}), expect!["accepted"]);
}

#[test]
fn the_create_event_of_version_12_names_no_room_and_is_never_listed() {
    let alice = Author::new("alice");
    let create = alice.state("m.room.create", "", json!({"room_version": "12"}), V12);
    let mut with_room: Value = serde_json::from_str(create.json_str()).unwrap();
    with_room["room_id"] = json!("!room:acme.example");
    let error = Pdu::from_wire(with_room.to_string().as_bytes(), V12).unwrap_err();
    expect!["a create event of room version 12 must not have a `room_id`"]
        .assert_eq(&error.to_string());
    check(
        V12,
        |e| {
            e["room_id"] = json!("!hash");
            e["auth_events"] = json!(["$hash"]);
        },
        expect!["`auth_events` must not name the create event since room version 12"],
    );
    check(
        RoomVersion::V11,
        |e| {
            e["room_id"] = json!("!hash");
            e["auth_events"] = json!(["$hash"]);
        },
        expect!["accepted"],
    );
}

#[test]
fn what_ruma_refuses_is_refused() {
    type Spoil = fn(&mut Value);
    let spoils: [Spoil; 9] = [
        |_| {},
        |e| e["type"] = json!("x".repeat(256)),
        |e| e["depth"] = json!(-1),
        |e| e["depth"] = json!("1"),
        |e| e["prev_events"] = json!(vec!["$a"; 21]),
        |e| e["auth_events"] = json!({}),
        |e| e["state_key"] = json!(7),
        |e| e["room_id"] = json!(format!("!{}", "x".repeat(255))),
        |e| e["sender"] = json!([]),
    ];
    for version in RoomVersion::ALL {
        for (index, spoil) in spoils.iter().enumerate() {
            let mut event = valid(version);
            spoil(&mut event);
            let object = canonical_json::parse(event.to_string().as_bytes()).unwrap();
            let by_ruma = state_res::check_pdu_format(&object, &version.rules().event_format);
            let by_us = Pdu::from_wire(event.to_string().as_bytes(), version);
            assert_eq!(by_us.is_ok(), by_ruma.is_ok(), "case {index} in version {version}");
        }
    }
}

#[test]
fn an_event_survives_the_store_without_unsigned() {
    for version in RoomVersion::ALL {
        let mut event = valid(version);
        event["unsigned"] = json!({"age": 5});
        event["state_key"] = json!("");
        let pdu = Pdu::from_wire(event.to_string().as_bytes(), version).unwrap();
        assert!(!pdu.json_str().contains("unsigned"));
        let read = Pdu::from_stored(pdu.record().clone(), pdu.event_id.clone()).unwrap();
        assert_eq!(format!("{pdu:?}"), format!("{read:?}"));
        assert_eq!(read.type_and_key(), Some(("m.room.message", "")));
        assert_eq!(read.json(), pdu.json());
        assert_eq!(read.room_version, version);
        assert_eq!(read.to_wire().get(), pdu.json_str());
    }
}

#[test]
fn a_foreign_record_is_refused() {
    let pdu = Author::new("alice").message(json!({}), V12);
    let read = |record: &[u8]| {
        let record = Bytes::copy_from_slice(record);
        Pdu::from_stored(record, pdu.event_id.clone()).unwrap_err().to_string()
    };
    expect!["the record of an event begins with the unknown room version Some(123)"]
        .assert_eq(&read(pdu.json()));
    expect!["the record of an event begins with the unknown room version None"]
        .assert_eq(&read(b""));
    assert!(read(&pdu.record()[..20]).starts_with("the record of an event is damaged"));
}

#[test]
fn a_v11_redaction_counts_only_in_content_and_an_older_one_only_on_top() {
    let target = |version| {
        let mut event = valid(version);
        event["type"] = json!("m.room.redaction");
        event["redacts"] = json!("$top");
        event["content"] = json!({"redacts": "$content"});
        let pdu = Pdu::from_wire(event.to_string().as_bytes(), version).unwrap();
        let read = Pdu::from_stored(pdu.record().clone(), pdu.event_id.clone()).unwrap();
        assert_eq!(read.redacts, pdu.redacts);
        pdu.redacts.unwrap().to_string()
    };
    assert_eq!(target(RoomVersion::V10), "$top");
    assert_eq!(target(RoomVersion::V11), "$content");
}

#[test]
fn member_events_tell_their_membership_even_when_the_rest_is_nonsense() {
    let alice = Author::new("alice");
    let member = |content| alice.state("m.room.member", "@alice:acme.example", content, V12);
    let join = member(json!({
        "membership": "join", "displayname": 7, "join_authorised_via_users_server": "@b:c.example",
    }));
    assert_eq!(join.membership(), Some(MembershipState::Join));
    assert_eq!(join.join_authorised_via().unwrap(), "@b:c.example");
    assert_eq!(member(json!({"membership": 7})).membership(), None);
    assert_eq!(alice.message(json!({"membership": "join"}), V12).membership(), None);
}

#[test]
fn types_that_ruma_takes_for_aliases_stay_apart_and_keep_their_power_level() {
    // ruma reads the first name as the second.
    let (old, new) =
        ("org.matrix.call.sdp_stream_metadata_changed", "m.call.sdp_stream_metadata_changed");
    assert_eq!(TimelineEventType::from(old), TimelineEventType::from(new));
    let alice = Author::new("alice");
    let [old_event, new_event] = [old, new].map(|t| alice.state(t, "", json!({}), V12));
    assert_ne!(old_event.kind, new_event.kind);
    assert_eq!((&*old_event.event_type, &*new_event.event_type), (old, new));
    let levels = alice.state("m.room.power_levels", "", json!({"events": {old: 7, "x": 1}}), V12);
    let view = state_res::events::RoomPowerLevelsEvent::new(&levels);
    let level = |event: &Pdu| {
        let rules = &V12.rules().authorization;
        i64::from(view.event_power_level(&event.kind, Some(""), rules).unwrap())
    };
    assert_eq!((level(&old_event), level(&new_event)), (7, 50));
    assert_eq!(levels.content().get(), format!(r#"{{"events":{{"{old}":7,"x":1}}}}"#));
}

#[test]
fn ruma_sees_no_room_id_in_the_create_event_of_version_12() {
    let alice = Author::new("alice");
    let create = alice.state("m.room.create", "", json!({"room_version": "12"}), V12);
    assert_eq!(Event::room_id(&create), None);
    let older = alice.state("m.room.create", "", json!({"room_version": "11"}), RoomVersion::V11);
    assert!(Event::room_id(&older).is_some());
}

/// Values that an attacker would try in the place of a field.
fn odd_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[$!@a-z:.\\PC]{0,300}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..25).prop_map(Value::from),
            proptest::collection::hash_map("[a-z_.:]{0,12}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_accepted_can_be_stored_shown_and_judged(
        field in prop::sample::select(vec![
            "auth_events", "content", "depth", "hashes", "origin_server_ts", "prev_events",
            "redacts", "room_id", "sender", "signatures", "state_key", "type", "unsigned", "x",
        ]),
        value in odd_value(),
        version in prop::sample::select(RoomVersion::ALL.to_vec()),
        kind in prop::sample::select(vec![
            "m.room.message", "m.room.member", "m.room.power_levels", "m.room.redaction",
            "m.room.create", "m.room.join_rules",
        ]),
    ) {
        let mut event = valid(version);
        event["type"] = json!(kind);
        event[field] = value;
        let Ok(pdu) = Pdu::from_wire(event.to_string().as_bytes(), version) else { return Ok(()) };
        let read = Pdu::from_stored(pdu.record().clone(), pdu.event_id.clone()).unwrap();
        prop_assert_eq!(read.json(), pdu.json());
        prop_assert_eq!(&read.room_id, &pdu.room_id);
        let again = Pdu::from_wire(pdu.json(), version).unwrap();
        prop_assert_eq!(&again.event_id, &pdu.event_id);
        let redacted = crate::redact::redact(&pdu).unwrap();
        prop_assert_eq!(&redacted.event_id, &pdu.event_id);
        // Nothing allows it, but asking must be possible.
        let _places = crate::event_auth::auth_types_of(&pdu);
        prop_assert!(crate::event_auth::check_against_state(&pdu, |_, _| None).is_err()
            || pdu.kind == TimelineEventType::RoomCreate);
    }

    #[test]
    fn bytes_that_are_no_event_are_refused_without_panic(bytes: Vec<u8>) {
        prop_assert!(Pdu::from_wire(&bytes, V12).is_err());
        let id = OwnedEventId::try_from("$event").unwrap();
        prop_assert!(Pdu::from_stored(bytes.into(), id).is_err());
    }
}

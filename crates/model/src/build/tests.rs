//! Events of our own, and [`Author`], with whom other tests write rooms.

use ruma::{OwnedServerName, RoomId, owned_room_id, server_name};
use serde_json::{Value, json, value::to_raw_value};

use super::*;
use crate::signing_key::tests::appendix_key;

/// A user who writes signed events, for tests.
pub(crate) struct Author {
    pub(crate) user: OwnedUserId,
    pub(crate) server: OwnedServerName,
    pub(crate) key: SigningKey,
}

impl Author {
    /// A user of `acme.example`.
    pub(crate) fn new(localpart: &str) -> Self {
        Self::of(localpart, "acme.example")
    }

    pub(crate) fn of(localpart: &str, server: &str) -> Self {
        let mut seed = [0; 32];
        seed[..server.len().min(32)].copy_from_slice(&server.as_bytes()[..server.len().min(32)]);
        Self {
            user: format!("@{localpart}:{server}").try_into().unwrap(),
            server: server.try_into().unwrap(),
            key: SigningKey::generate(seed).unwrap(),
        }
    }

    pub(crate) fn template(&self, event_type: &str, content: Value) -> EventTemplate {
        EventTemplate {
            room_id: Some(owned_room_id!("!room:acme.example")),
            sender: self.user.clone(),
            event_type: event_type.to_owned(),
            state_key: None,
            content: to_raw_value(&content).unwrap(),
            redacts: None,
            origin_server_ts: 1_767_225_600_000,
        }
    }

    pub(crate) fn sign(
        &self,
        template: &EventTemplate,
        place: &Place,
        version: RoomVersion,
    ) -> Result<Pdu, BuildError> {
        build_and_sign(template, place, version, &self.server, &self.key)
    }

    pub(crate) fn message(&self, content: Value, version: RoomVersion) -> Pdu {
        self.sign(&self.template("m.room.message", content), &Place::default(), version).unwrap()
    }

    pub(crate) fn state(
        &self,
        event_type: &str,
        state_key: &str,
        content: Value,
        version: RoomVersion,
    ) -> Pdu {
        let mut template = self.template(event_type, content);
        template.state_key = Some(state_key.to_owned());
        if event_type == "m.room.create" && version.room_id_is_create_hash() {
            template.room_id = None;
        }
        self.sign(&template, &Place::default(), version).unwrap()
    }
}

#[test]
fn an_event_is_signed_as_in_the_appendix() {
    // The appendix signs events that lack fields which every real event has; the vectors are for the
    // algorithm, so they go past the format checks.
    let mut minimal = canonical_json::parse(
        br#"{"room_id":"!x:domain","sender":"@a:domain","origin":"domain",
             "origin_server_ts":1000000,"signatures":{},"hashes":{},"type":"X","content":{},
             "prev_events":[],"auth_events":[],"depth":3,"unsigned":{"age_ts":1000000}}"#,
    )
    .unwrap();
    let rules = &RoomVersion::V6.rules().redaction;
    let key = appendix_key();
    signatures::hash_and_sign_event("domain", key.key_pair(), &mut minimal, rules).unwrap();
    let hash = minimal["hashes"].as_object().unwrap()["sha256"].as_str().unwrap();
    assert_eq!(hash, "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos");
    let of_domain = minimal["signatures"].as_object().unwrap()["domain"].as_object().unwrap();
    assert_eq!(
        of_domain["ed25519:1"].as_str().unwrap(),
        "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg"
    );
}

#[test]
fn the_built_event_is_what_another_server_reads() {
    let alice = Author::new("alice");
    for version in RoomVersion::ALL {
        let pdu =
            alice.message(json!({"body": "Grüße", "a": [1, null, {"z": 1, "b": 2}]}), version);
        let read = Pdu::from_wire(pdu.json(), version).unwrap();
        assert_eq!(read.event_id, pdu.event_id);
        assert_eq!(read.json(), pdu.json());
        assert_eq!(read.content().get(), r#"{"a":[1,null,{"b":2,"z":1}],"body":"Grüße"}"#);
    }
}

#[test]
fn the_room_id_of_version_12_is_the_create_events_hash() {
    let alice = Author::new("alice");
    let create = alice.state("m.room.create", "", json!({"room_version": "12"}), RoomVersion::V12);
    assert_eq!(create.room_id.as_str()[1..], create.event_id.as_str()[1..]);
    assert!(!create.json_str().contains("room_id"));
    let older = alice.state("m.room.create", "", json!({"room_version": "11"}), RoomVersion::V11);
    assert_eq!(older.room_id, <&RoomId>::try_from("!room:acme.example").unwrap());
}

#[test]
fn the_target_of_a_redaction_goes_where_the_version_wants_it() {
    let alice = Author::new("alice");
    let mut template = alice.template("m.room.redaction", json!({"reason": "spam"}));
    template.redacts = Some("$target".try_into().unwrap());
    let old = alice.sign(&template, &Place::default(), RoomVersion::V10).unwrap();
    assert_eq!(old.content().get(), r#"{"reason":"spam"}"#);
    assert!(old.json_str().contains(r#""redacts":"$target","room_id""#));
    let new = alice.sign(&template, &Place::default(), RoomVersion::V11).unwrap();
    assert_eq!(new.content().get(), r#"{"reason":"spam","redacts":"$target"}"#);
    assert_eq!((old.redacts, new.redacts), (template.redacts.clone(), template.redacts));
}

#[test]
fn a_countersigned_event_keeps_its_id_and_both_signatures() {
    let (alice, bob) = (Author::new("alice"), Author::of("bob", "b.example"));
    let pdu = alice.message(json!({}), RoomVersion::V12).with_rejected(true);
    let both = countersign(&pdu, &bob.server, &bob.key).unwrap();
    assert_eq!(both.event_id, pdu.event_id);
    assert!(both.rejected);
    let object = both.to_object();
    let servers: Vec<_> = object["signatures"].as_object().unwrap().keys().collect();
    assert_eq!(servers, ["acme.example", "b.example"]);
}

#[test]
fn an_event_that_is_too_large_is_told_apart_from_one_that_is_wrong() {
    let alice = Author::new("alice");
    let build = |template: &EventTemplate, place: &Place| {
        alice.sign(template, place, RoomVersion::V12).map(|pdu| pdu.json().len())
    };
    let here = Place::default();
    let large = alice.template("m.room.message", json!({"body": "x".repeat(66_000)}));
    assert!(matches!(build(&large, &here), Err(BuildError::TooLarge(_))));
    // Exactly at the limit.
    let empty = build(&alice.template("m.room.message", json!({"body": ""})), &here).unwrap();
    let fits = |spare: usize| alice.template("m.room.message", json!({"body": "x".repeat(spare)}));
    assert_eq!(build(&fits(65_536 - empty), &here).unwrap(), 65_536);
    assert!(matches!(build(&fits(65_537 - empty), &here), Err(BuildError::TooLarge(_))));
    let long = alice.template(&"t".repeat(256), json!({}));
    assert!(matches!(build(&long, &here), Err(BuildError::TooLarge(_))));
    let float = alice.template("m.room.message", json!({"x": 1.5}));
    assert!(matches!(build(&float, &here), Err(BuildError::Content(_))));
    let array = alice.template("m.room.message", json!([]));
    assert!(matches!(build(&array, &here), Err(BuildError::ContentNotObject)));
    let crowded = Place { prev_events: vec!["$a".try_into().unwrap(); 21], ..Place::default() };
    assert!(matches!(
        build(&alice.template("m.room.message", json!({})), &crowded),
        Err(BuildError::Format(PduError::TooMany("prev_events")))
    ));
}

#[test]
fn a_proposal_has_neither_hash_nor_signature() {
    let alice = Author::of("alice", "b.example");
    let template = alice.template("m.room.member", json!({"membership": "join"}));
    let place = Place {
        prev_events: vec!["$p".try_into().unwrap()],
        auth_events: vec!["$a".try_into().unwrap()],
        depth: u64::MAX,
    };
    let object = proposal(&template, &place, RoomVersion::V10).unwrap();
    assert_eq!(
        String::from_utf8(canonical_json::to_bytes(&object)).unwrap(),
        r#"{"auth_events":["$a"],"content":{"membership":"join"},"depth":9007199254740991,"origin_server_ts":1767225600000,"prev_events":["$p"],"room_id":"!room:acme.example","sender":"@alice:b.example","type":"m.room.member"}"#
    );
    assert_eq!(server_name!("b.example"), alice.server);
}

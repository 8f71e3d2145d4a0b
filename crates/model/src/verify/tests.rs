//! Whose signature must be on an event, and what becomes of events that were changed on the way.

use ruma::signatures::PublicKeySet;
use serde_json::{Value, json};

use super::*;
use crate::build::{self, tests::Author};

const VERSION: RoomVersion = RoomVersion::V11;

fn keys_of(authors: &[&Author]) -> PublicKeyMap {
    let entry = |author: &&Author| {
        let key = Base64::new(author.key.public_key().to_vec());
        let keys = PublicKeySet::from([(author.key.key_id().to_string(), key)]);
        (author.server.to_string(), keys)
    };
    authors.iter().map(entry).collect()
}

fn outcome(event: &Value, authors: &[&Author]) -> String {
    match verify(event.to_string().as_bytes(), &keys_of(authors), VERSION) {
        Ok(Verified::Intact(_)) => "intact".to_owned(),
        Ok(Verified::Redacted(pdu)) => format!("redacted: {}", pdu.content().get()),
        Err(error) => error.to_string(),
    }
}

fn as_value(pdu: &Pdu) -> Value {
    serde_json::from_str(pdu.json_str()).unwrap()
}

#[test]
fn an_event_as_it_was_sent_is_intact() {
    for version in RoomVersion::ALL {
        let alice = Author::new("alice");
        let pdu = alice.message(json!({"body": "hello"}), version);
        let verified = verify(pdu.json(), &keys_of(&[&alice]), version).unwrap();
        assert!(matches!(&verified, Verified::Intact(same) if same.event_id == pdu.event_id));
        assert_eq!(verified.into_pdu().json(), pdu.json());
    }
}

#[test]
fn an_event_with_changed_content_is_kept_redacted_under_its_id() {
    let alice = Author::new("alice");
    let pdu = alice.message(json!({"body": "hello"}), VERSION);
    let mut changed = as_value(&pdu);
    changed["content"]["body"] = json!("good bye");
    assert_eq!(outcome(&changed, &[&alice]), "redacted: {}");
    let kept = verify(changed.to_string().as_bytes(), &keys_of(&[&alice]), VERSION).unwrap();
    assert_eq!(kept.into_pdu().event_id, pdu.event_id);
    changed = as_value(&pdu);
    changed["hashes"]["sha256"] = json!("not base64!");
    // The hash itself is signed.
    assert_eq!(outcome(&changed, &[&alice]), "the signature of acme.example is not valid");
}

#[test]
fn what_redaction_keeps_cannot_be_changed() {
    let alice = Author::new("alice");
    let pdu = alice.state("m.room.join_rules", "", json!({"join_rule": "invite"}), VERSION);
    for (field, value) in [
        ("content", json!({"join_rule": "public"})),
        ("depth", json!(7)),
        ("sender", json!("@mallory:acme.example")),
        ("origin_server_ts", json!(1)),
        ("state_key", json!("x")),
        ("type", json!("m.room.power_levels")),
    ] {
        let mut changed = as_value(&pdu);
        changed[field] = value;
        assert_eq!(outcome(&changed, &[&alice]), "the signature of acme.example is not valid");
    }
}

#[test]
fn the_senders_server_must_have_signed() {
    let (alice, bob) = (Author::new("alice"), Author::of("bob", "b.example"));
    let pdu = alice.message(json!({}), VERSION);
    let mut event = as_value(&pdu);
    assert_eq!(outcome(&event, &[&bob]), "no key is known for the signatures of acme.example");
    event["sender"] = json!("@bob:b.example");
    assert_eq!(outcome(&event, &[&alice, &bob]), "the event is not signed by b.example");
    event["signatures"] = json!({"b.example": {"other:key": "x"}});
    assert_eq!(outcome(&event, &[&alice, &bob]), "the event is not signed by b.example");
    event["signatures"] = json!({"b.example": {bob.key.key_id().as_str(): 7}});
    assert_eq!(outcome(&event, &[&alice, &bob]), "the signature of b.example is not valid");
}

#[test]
fn one_valid_signature_is_enough_whatever_stands_beside_it() {
    let alice = Author::new("alice");
    let mut event = as_value(&alice.message(json!({}), VERSION));
    event["signatures"]["acme.example"]["ed25519:0_old"] = json!("AAAA");
    event["signatures"]["elsewhere.example"] = json!({"ed25519:1": "AAAA"});
    let mut keys = keys_of(&[&alice]);
    let old = Base64::new(vec![1; 32]);
    keys.get_mut("acme.example").unwrap().insert("ed25519:0_old".to_owned(), old);
    let verified = verify(event.to_string().as_bytes(), &keys, VERSION).unwrap();
    assert!(matches!(verified, Verified::Intact(_)));
}

#[test]
fn a_restricted_join_needs_the_signature_of_whoever_vouches_for_it() {
    let (alice, bob) = (Author::new("alice"), Author::of("bob", "b.example"));
    let content = json!({
        "membership": "join", "join_authorised_via_users_server": "@bob:b.example",
    });
    let mut template = alice.template("m.room.member", content.clone());
    template.state_key = Some(alice.user.to_string());
    let join = alice.sign(&template, &build::Place::default(), VERSION).unwrap();
    let authors = [&alice, &bob];
    assert_eq!(outcome(&as_value(&join), &authors), "the event is not signed by b.example");
    let both = build::countersign(&join, &bob.server, &bob.key).unwrap();
    assert_eq!(outcome(&as_value(&both), &authors), "intact");
    // Before version 8 nobody vouches.
    let old = alice.sign(&template, &build::Place::default(), RoomVersion::V7).unwrap();
    assert!(verify(old.json(), &keys_of(&authors), RoomVersion::V7).is_ok());
    // Another event that merely says so needs nothing.
    assert_eq!(outcome(&as_value(&alice.message(content, VERSION)), &authors), "intact");
}

#[test]
fn an_invite_by_mail_need_not_be_signed_by_its_senders_server() {
    let (alice, bob) = (Author::new("alice"), Author::of("bob", "b.example"));
    let content = json!({"membership": "invite", "third_party_invite": {"signed": {}}});
    let mut template = alice.template("m.room.member", content);
    template.state_key = Some(bob.user.to_string());
    // The invited user's server makes the event in the name of who invited.
    let invite = bob.sign(&template, &build::Place::default(), VERSION).unwrap();
    assert_eq!(outcome(&as_value(&invite), &[]), "intact");
    template.content = serde_json::value::to_raw_value(&json!({"membership": "invite"})).unwrap();
    let invite = bob.sign(&template, &build::Place::default(), VERSION).unwrap();
    assert_eq!(outcome(&as_value(&invite), &[]), "the event is not signed by acme.example");
}

#[test]
fn the_required_signatures_name_the_keys_to_fetch() {
    let alice = Author::new("alice");
    let pdu = alice.message(json!({}), VERSION);
    let unverified = Unverified::read(pdu.json(), VERSION).unwrap();
    assert_eq!(unverified.claimed().event_id, pdu.event_id);
    let keys = vec![alice.key.key_id().clone()];
    let required = RequiredSignature { server: alice.server.clone(), keys };
    assert_eq!(unverified.required_signatures(), [required]);
}

#[test]
fn our_verdict_is_rumas_verdict() {
    let alice = Author::new("alice");
    for version in RoomVersion::ALL {
        let pdu = alice.state("m.room.name", "", json!({"name": "x"}), version);
        let mut changed = as_value(&pdu);
        changed["content"]["name"] = json!("y");
        for event in [as_value(&pdu), changed] {
            let object = canonical_json::parse(event.to_string().as_bytes()).unwrap();
            let by_ruma =
                signatures::verify_event(&keys_of(&[&alice]), &object, version.rules()).unwrap();
            let by_us = verify(event.to_string().as_bytes(), &keys_of(&[&alice]), version).unwrap();
            let intact = matches!(by_us, Verified::Intact(_));
            assert_eq!(intact, by_ruma == signatures::Verified::All);
        }
    }
}

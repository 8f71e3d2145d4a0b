//! What a policy server approves.

use ruma::server_name;
use serde_json::json;

use super::*;
use crate::{
    build::{self, tests::Author},
    room_version::RoomVersion,
    signing_key::SigningKey,
};

#[test]
fn an_event_is_approved_by_the_signature_of_the_policy_server_alone() {
    let alice = Author::new("alice");
    let key = SigningKey::from_seed([5; 32], "policy_server").unwrap();
    let policy = alice.state(
        "m.room.policy",
        "",
        json!({
            "via": "policy.example", "public_keys": {"ed25519": key.public_key_base64()},
        }),
        RoomVersion::V12,
    );
    let server = PolicyServer::of(Some(&policy)).unwrap();
    assert_eq!(server.server(), server_name!("policy.example"));
    let message = alice.message(json!({"body": "hello"}), RoomVersion::V12);
    assert!(!server.approved(&message));
    let sign = |server, key| build::countersign(&message, server, key).unwrap();
    assert!(server.approved(&sign(server_name!("policy.example"), &key)));
    assert!(!server.approved(&sign(server_name!("other.example"), &key)));
    let wrong = SigningKey::from_seed([6; 32], "policy_server").unwrap();
    assert!(!server.approved(&sign(server_name!("policy.example"), &wrong)));
    assert!(server.approved(&policy));
}

#[test]
fn an_invalid_policy_event_names_no_policy_server() {
    let alice = Author::new("alice");
    for content in
        [json!({}), json!({"via": "policy.example"}), json!({"via": 7, "public_keys": {}})]
    {
        let policy = alice.state("m.room.policy", "", content, RoomVersion::V12);
        assert!(PolicyServer::of(Some(&policy)).is_none());
    }
    assert!(PolicyServer::of(None).is_none());
}

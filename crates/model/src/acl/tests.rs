//! Who is let in by which list.

use serde_json::json;

use super::*;
use crate::{build::tests::Author, room_version::RoomVersion};

fn allowed(content: &Value, server: &str) -> bool {
    let event =
        Author::new("alice").state("m.room.server_acl", "", content.clone(), RoomVersion::V12);
    ServerAcl::of(&event).allows(server.try_into().unwrap())
}

#[test]
fn deny_goes_before_allow_and_the_rest_is_denied() {
    let acl = json!({"allow": ["*"], "deny": ["*.evil.example", "evil.example"]});
    for (server, expected) in [
        ("matrix.org", true),
        ("evil.example", false),
        ("evil.example:8448", false),
        ("sub.evil.example", false),
        ("EVIL.example", false),
        ("notevil.example", true),
    ] {
        assert_eq!(allowed(&acl, server), expected, "{server}");
    }
    assert!(!allowed(&json!({"allow": ["a.example"]}), "b.example"));
    assert!(allowed(&json!({"allow": ["A.example"]}), "a.example:1234"));
}

#[test]
fn ip_literals_can_be_shut_out() {
    for server in ["1.2.3.4", "1.2.3.4:8448", "[2001:db8::1]", "[2001:db8::1]:8448"] {
        assert!(!allowed(&json!({"allow": ["*"], "allow_ip_literals": false}), server));
        assert!(allowed(&json!({"allow": ["*"], "allow_ip_literals": true}), server));
        assert!(allowed(&json!({"allow": ["*"]}), server));
    }
    assert!(allowed(&json!({"allow": ["*"], "allow_ip_literals": false}), "1.2.3.4.example"));
    assert!(!allowed(&json!({"allow": ["*"], "deny": ["1.2.3.*"]}), "1.2.3.4:8448"));
}

#[test]
fn what_is_malformed_counts_as_absent() {
    for acl in [json!({}), json!({"allow": "*"}), json!({"allow": [7]}), json!({"allow": null})] {
        assert!(!allowed(&acl, "a.example"), "{acl}");
    }
    assert!(allowed(&json!({"allow": ["*"], "deny": "*", "allow_ip_literals": "no"}), "1.2.3.4"));
}

#[test]
fn patterns_match_as_globs() {
    for (pattern, text, expected) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("**", "ab", true),
        ("?", "", false),
        ("?", "a", true),
        ("a?c", "abc", true),
        ("a*c", "abbbc", true),
        ("a*c", "abbbd", false),
        ("*.b.*", "a.b.c", true),
        ("*.b.*", "a.b", false),
        ("a.c", "abc", false),
        ("*ab*ab", "abab", true),
        ("*ab", "abac", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn a_hostile_pattern_takes_no_longer_than_pattern_times_text() {
    let pattern = "*a".repeat(10_000);
    assert!(!matches(&pattern, &"a".repeat(255)));
    assert!(!matches(&format!("{}b", "a*".repeat(100)), &"a".repeat(255)));
}

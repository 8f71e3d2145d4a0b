//! Filters against events.

use super::*;

fn check(pattern: &str, text: &str, expected: bool) {
    assert_eq!(glob(pattern, text), expected, "{pattern} against {text}");
}

#[test]
fn a_star_stands_for_any_characters() {
    check("m.room.message", "m.room.message", true);
    check("m.room.message", "m.room.messages", false);
    check("m.room.*", "m.room.message", true);
    check("m.room.*", "m.rooms", false);
    check("*", "", true);
    check("*.message", "m.room.message", true);
    check("m.*.me*ge", "m.room.message", true);
    check("m.*x*ge", "m.room.message", false);
    check("ab*ba", "aba", false);
}

#[test]
fn what_is_excluded_stays_out_even_if_it_is_included_too() {
    let filter = EventFilter::parse(r#"{"types":["m.*"],"not_types":["m.room.member"]}"#).unwrap();
    assert!(filter.wants_type("m.room.name"));
    assert!(!filter.wants_type("m.room.member"));
    assert!(!filter.wants_type("org.example"));
}

#[test]
fn an_empty_list_of_types_wants_nothing() {
    let filter = EventFilter::parse(r#"{"types":[]}"#).unwrap();
    assert!(!filter.wants_type("m.room.name"));
}

#[test]
fn an_empty_filter_is_open() {
    assert!(EventFilter::parse("{}").unwrap().is_open());
    assert!(EventFilter::parse(r#"{"lazy_load_members":true,"limit":3}"#).unwrap().is_open());
    assert!(!EventFilter::parse(r#"{"contains_url":false}"#).unwrap().is_open());
}

#[test]
fn a_filter_of_the_wrong_type_is_refused() {
    assert!(Filter::parse(r#"{"room":{"timeline":{"limit":"many"}}}"#).is_err());
    assert!(Filter::parse("[]").is_err());
}

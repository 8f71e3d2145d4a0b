//! The rules through our own types: which auth events, and which of the checks says no.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::build::{Place as GraphPlace, tests::Author};

/// A room as a list of state events.
struct Room {
    version: RoomVersion,
    state: Vec<Arc<Pdu>>,
}

impl Room {
    fn new(version: RoomVersion) -> Self {
        let mut room = Self { version, state: Vec::new() };
        let alice = Author::new("alice");
        let id = alice.user.as_str();
        room.put(&alice, "m.room.create", "", json!({"creator": id, "room_version": version}));
        room.put(&alice, "m.room.member", id, json!({"membership": "join"}));
        let users = match version {
            RoomVersion::V12 => json!({}),
            _ => json!({ id: 100 }),
        };
        room.put(&alice, "m.room.power_levels", "", json!({"users": users}));
        room.put(&alice, "m.room.join_rules", "", json!({"join_rule": "public"}));
        room
    }

    fn at(&self, event_type: &str, key: &str) -> Option<Arc<Pdu>> {
        self.state.iter().rev().find(|event| event.is_at(event_type, key)).cloned()
    }

    fn template(
        &self,
        by: &Author,
        event_type: &str,
        key: Option<&str>,
        content: Value,
    ) -> EventTemplate {
        let mut template = by.template(event_type, content);
        template.state_key = key.map(str::to_owned);
        if self.version.room_id_is_create_hash() {
            template.room_id = self.state.first().map(|create| create.room_id.clone());
        }
        template
    }

    fn event(&self, by: &Author, event_type: &str, key: Option<&str>, content: Value) -> Pdu {
        let template = self.template(by, event_type, key, content);
        let kind = pdu::kind_of(event_type);
        let auth = places(&kind, &by.user, key, &template.content, self.version).unwrap();
        let auth_events = auth
            .iter()
            .filter(|(t, _)| t != "m.room.create" || !self.version.room_id_is_create_hash())
            .filter_map(|(t, k)| Some(self.at(t, k)?.event_id.clone()))
            .collect();
        let prev_events =
            self.state.last().map(|event| event.event_id.clone()).into_iter().collect();
        let place = GraphPlace { prev_events, auth_events, depth: self.state.len() as u64 };
        by.sign(&template, &place, self.version).unwrap()
    }

    fn put(&mut self, by: &Author, event_type: &str, key: &str, content: Value) {
        let event = self.event(by, event_type, Some(key), content);
        self.judge(&event).unwrap();
        self.state.push(Arc::new(event));
    }

    fn judge(&self, event: &Pdu) -> Result<(), AuthError> {
        let mut auth: Vec<_> = self
            .state
            .iter()
            .filter(|known| event.auth_events.contains(&known.event_id))
            .cloned()
            .collect();
        if self.version.room_id_is_create_hash() {
            auth.extend(self.at("m.room.create", ""));
        }
        check_against_auth_events(event, &auth)?;
        check_against_state(event, |event_type, key| self.at(event_type, key))
    }

    fn check(
        &self,
        by: &Author,
        (event_type, key): (&str, Option<&str>),
        content: Value,
        expected: Expect,
    ) {
        let outcome = match self.judge(&self.event(by, event_type, key, content)) {
            Ok(()) => "allowed".to_owned(),
            Err(error) => format!("{}: {error}", error.check),
        };
        expected.assert_eq(&outcome);
    }
}

#[test]
fn a_room_can_be_made_and_talked_in_in_every_version() {
    for version in RoomVersion::ALL {
        let mut room = Room::new(version);
        let bob = Author::of("bob", "b.example");
        let message = ("m.room.message", None);
        room.check(&Author::new("alice"), message, json!({}), expect!["allowed"]);
        room.check(
            &bob,
            message,
            json!({}),
            expect!["auth events: sender's membership is not `join`"],
        );
        room.put(&bob, "m.room.member", bob.user.as_str(), json!({"membership": "join"}));
        room.check(&bob, message, json!({}), expect!["allowed"]);
        room.check(&bob, ("m.room.topic", Some("")), json!({}), expect![
            "auth events: sender does not have enough power to send event of type `m.room.topic`"
        ]);
    }
}

#[test]
fn a_banned_user_cannot_rejoin() {
    let mut room = Room::new(RoomVersion::V12);
    let (alice, bob) = (Author::new("alice"), Author::of("bob", "b.example"));
    let bob_id = bob.user.to_string();
    room.put(&alice, "m.room.member", &bob_id, json!({"membership": "ban"}));
    room.check(
        &bob,
        ("m.room.member", Some(&bob_id)),
        json!({"membership": "join"}),
        expect!["auth events: banned user cannot join room"],
    );
}

#[test]
fn where_there_are_no_join_rules_one_needs_an_invitation() {
    let join = json!({"membership": "join"});
    for version in RoomVersion::ALL {
        for says_nothing in [true, false] {
            let mut room = Room::new(version);
            let (alice, bob) = (Author::new("alice"), Author::of("bob", "b.example"));
            let bob_id = bob.user.to_string();
            let bobs = ("m.room.member", Some(&*bob_id));
            room.state.retain(|event| !event.is_at("m.room.join_rules", ""));
            if says_nothing {
                room.put(&alice, "m.room.join_rules", "", json!({"allow": []}));
            }
            room.check(
                &bob,
                bobs,
                join.clone(),
                expect!["auth events: cannot join a room that is not `public`"],
            );
            room.put(&alice, "m.room.member", &bob_id, json!({"membership": "invite"}));
            room.check(&bob, bobs, join.clone(), expect!["allowed"]);
            // A rule that nobody knows lets nobody in.
            room.put(&alice, "m.room.join_rules", "", json!({"join_rule": "whoever"}));
            room.check(
                &bob,
                bobs,
                join.clone(),
                expect!["auth events: cannot join a room that is not `public`"],
            );
        }
    }
}

#[test]
fn power_levels_may_name_users_that_cannot_be() {
    for version in RoomVersion::ALL {
        let mut room = Room::new(version);
        let (alice, bob) = (Author::new("alice"), Author::of("bob", "b.example"));
        let (alice_id, bob_id) = (alice.user.to_string(), bob.user.to_string());
        room.put(&bob, "m.room.member", &bob_id, json!({"membership": "join"}));
        let levels = |user: &str, level: i32| {
            let mut users = json!({ &bob_id: 50, user: level });
            if version != RoomVersion::V12 {
                users[&alice_id] = json!(100);
            }
            json!({ "users": users })
        };
        let place = ("m.room.power_levels", Some(""));
        let carol = "@carol:c.example ";
        // Others may write them, but not we.
        let ours = room.template(&alice, place.0, place.1, levels(carol, 70));
        expect!["a name in `users` is no user id"]
            .assert_eq(&auth_types(&ours, version).unwrap_err().to_string());
        room.put(&alice, place.0, "", levels(carol, 70));
        // They are levels like all others.
        room.check(&bob, place, levels(carol, 0), expect![
            "auth events: sender does not have enough power to change `@6Rq1EhLT8OvT-UQRF_YvXyRrhvdPK6OyrBfIYeq0T80:unreadable.invalid`'s  power level"
        ]);
        room.check(&alice, place, levels(carol, 0), expect!["allowed"]);
        room.check(&alice, place, levels("carol", 0), expect![
            "auth events: unexpected format of `users` field in `content` of `m.room.power_levels` event: leading sigil is incorrect or missing"
        ]);
    }
}

#[test]
fn the_state_can_forbid_what_the_auth_events_allow() {
    let mut room = Room::new(RoomVersion::V11);
    let (alice, bob) = (Author::new("alice"), Author::of("bob", "b.example"));
    let bob_id = bob.user.to_string();
    let join = room.event(&bob, "m.room.member", Some(&bob_id), json!({"membership": "join"}));
    room.put(&alice, "m.room.member", &bob_id, json!({"membership": "ban"}));
    let error = room.judge(&join).unwrap_err();
    assert_eq!(error.check, AuthCheck::State);
    expect!["banned user cannot join room"].assert_eq(&error.to_string());
}

#[test]
fn a_rejected_auth_event_rejects() {
    let mut room = Room::new(RoomVersion::V11);
    let levels = room.at("m.room.power_levels", "").unwrap();
    let message = room.event(&Author::new("alice"), "m.room.message", None, json!({}));
    let rejected = Arc::new(Pdu::clone(&levels).with_rejected(true));
    for event in &mut room.state {
        if event.event_id == levels.event_id {
            *event = Arc::clone(&rejected);
        }
    }
    let error = room.judge(&message).unwrap_err();
    assert_eq!(error.check, AuthCheck::AuthEvents);
    assert_eq!(error.reason, format!("rejected auth event {}", levels.event_id));
}

#[test]
fn the_places_that_decide_are_those_of_the_specification() {
    let alice = Author::new("alice");
    let places = |event_type, key: Option<&str>, content, version| {
        let mut template = alice.template(event_type, content);
        template.state_key = key.map(str::to_owned);
        let places = auth_types(&template, version).unwrap();
        places.iter().map(|(t, k)| format!("{t}|{k}")).collect::<Vec<_>>().join(" ")
    };
    expect!["m.room.power_levels| m.room.member|@alice:acme.example m.room.create|"]
        .assert_eq(&places("m.room.message", None, json!({}), RoomVersion::V11));
    assert_eq!(
        places("m.room.message", None, json!({}), RoomVersion::V11),
        places("m.room.message", None, json!({}), RoomVersion::V12)
    );
    let join = json!({"membership": "join", "join_authorised_via_users_server": "@c:d.example"});
    expect!["m.room.power_levels| m.room.member|@alice:acme.example m.room.create| m.room.member|@b:b.example m.room.join_rules|"]
        .assert_eq(&places("m.room.member", Some("@b:b.example"), join.clone(), RoomVersion::V7));
    expect!["m.room.power_levels| m.room.member|@alice:acme.example m.room.member|@b:b.example m.room.join_rules| m.room.member|@c:d.example m.room.create|"]
        .assert_eq(&places("m.room.member", Some("@b:b.example"), join, RoomVersion::V12));
    assert_eq!(places("m.room.create", Some(""), json!({}), RoomVersion::V12), "");
}

#[test]
fn a_member_event_without_membership_is_unreadable() {
    let mut template = Author::new("alice").template("m.room.member", json!({}));
    template.state_key = Some("@alice:acme.example".to_owned());
    let error = auth_types(&template, RoomVersion::V12).unwrap_err();
    assert_eq!(error.check, AuthCheck::Content);
}

#[test]
fn restricted_rooms_name_the_rooms_that_let_in() {
    let allowed = |content, version| {
        let rules = Author::new("alice").state("m.room.join_rules", "", content, version);
        rooms_that_allow(&rules)
            .map(|rooms| rooms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    let allow = json!([
        {"type": "m.room_membership", "room_id": "!a:b"}, {"type": "other", "room_id": "!c:d"},
        {"type": "m.room_membership"}, 7, {"type": "m.room_membership", "room_id": "!e"},
    ]);
    let restricted = json!({"join_rule": "restricted", "allow": allow});
    let knock = json!({"join_rule": "knock_restricted", "allow": allow});
    assert_eq!(allowed(restricted.clone(), RoomVersion::V8).unwrap(), "!a:b !e");
    assert_eq!(allowed(restricted, RoomVersion::V7), None);
    assert_eq!(allowed(knock.clone(), RoomVersion::V10).unwrap(), "!a:b !e");
    assert_eq!(allowed(knock, RoomVersion::V9), None);
    assert_eq!(allowed(json!({"join_rule": "restricted"}), RoomVersion::V12).unwrap(), "");
    assert_eq!(allowed(json!({"join_rule": "public", "allow": allow}), RoomVersion::V12), None);
}

#[test]
fn powers_are_asked_for_by_what_they_allow() {
    let room = Room::new(RoomVersion::V11);
    let (create, levels) =
        (room.at("m.room.create", "").unwrap(), room.at("m.room.power_levels", ""));
    let (alice, bob) = (Author::new("alice").user, Author::of("bob", "b.example").user);
    let levels = levels.as_deref();
    assert!(may_invite(&bob, &create, levels) && may_invite(&alice, &create, levels));
    assert!(!may_redact(&bob, &create, levels) && may_redact(&alice, &create, levels));
    assert!(!may_send_state(&bob, "m.room.name", &create, levels));
    assert!(may_send_state(&alice, "m.room.name", &create, levels));
}

//! The cases of the specification as one table.

use std::fmt::Write;

use expect_test::expect;
use serde_json::{Value, json};

use super::*;
use crate::{build::tests::Author, room_version::RoomVersion};

use HistoryVisibility::{Invited, Joined, Shared, WorldReadable};
use Membership::{Ban, Invite, Join, Knock, Leave};

#[test]
fn an_event_is_seen_by_visibility_membership_and_later_joins() {
    let mut table = String::from("                join   invite leave  ban    knock\n");
    for visibility in [WorldReadable, Shared, Invited, Joined] {
        for joined_later in [false, true] {
            let later = if joined_later { "+" } else { " " };
            write!(table, "{:<14}{later}", format!("{visibility:?}")).unwrap();
            for membership in [Join, Invite, Leave, Ban, Knock] {
                let view = View::unchanged(Moment { visibility, membership }, joined_later);
                let word = if view.is_allowed() { "sees" } else { "-" };
                write!(table, " {word:<6}").unwrap();
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
    }
    expect![[r#"
                        join   invite leave  ban    knock
        WorldReadable   sees   sees   sees   sees   sees
        WorldReadable + sees   sees   sees   sees   sees
        Shared          sees   -      -      -      -
        Shared        + sees   sees   sees   sees   sees
        Invited         sees   sees   -      -      -
        Invited       + sees   sees   -      -      -
        Joined          sees   -      -      -      -
        Joined        + sees   -      -      -      -
    "#]]
    .assert_eq(&table);
}

#[test]
fn a_change_of_visibility_is_seen_from_either_side() {
    let seen = |before, after| {
        let moment = |visibility| Moment { visibility, membership: Leave };
        View { before: moment(before), after: moment(after), joined_later: false }.is_allowed()
    };
    assert!(seen(WorldReadable, Joined));
    assert!(seen(Joined, WorldReadable));
    assert!(!seen(Joined, Shared));
}

#[test]
fn a_users_own_membership_is_seen_from_either_side() {
    let seen = |visibility, before, after| {
        let moment = |membership| Moment { visibility, membership };
        View { before: moment(before), after: moment(after), joined_later: false }.is_allowed()
    };
    assert!(seen(Joined, Leave, Join), "a join");
    assert!(seen(Joined, Join, Leave), "a leave or kick");
    assert!(seen(Joined, Join, Ban), "a ban");
    assert!(seen(Invited, Leave, Invite), "an invite");
    assert!(seen(Invited, Invite, Leave), "a refused invite");
    assert!(!seen(Joined, Leave, Ban), "the ban of somebody who was never there");
    assert!(seen(Joined, Invite, Leave), "a refused invite in a room that hides its past");
    assert!(seen(Shared, Knock, Leave), "a refused knock");
}

#[test]
fn no_value_and_an_unknown_value_mean_shared() {
    let of = |content: Value| {
        let alice = Author::new("alice");
        let event = alice.state("m.room.history_visibility", "", content, RoomVersion::V12);
        HistoryVisibility::of(Some(&event))
    };
    assert_eq!(HistoryVisibility::of(None), Shared);
    for (content, expected) in [
        (json!({}), Shared),
        (json!({"history_visibility": "secret"}), Shared),
        (json!({"history_visibility": 7}), Shared),
        (json!({"history_visibility": "shared"}), Shared),
        (json!({"history_visibility": "joined"}), Joined),
        (json!({"history_visibility": "invited"}), Invited),
        (json!({"history_visibility": "world_readable"}), WorldReadable),
    ] {
        assert_eq!(of(content.clone()), expected, "{content}");
    }
}

#[test]
fn a_server_sees_what_one_of_its_users_may_see() {
    for (visibility, users, expected) in [
        (WorldReadable, &[][..], true),
        (Shared, &[Leave], true),
        (Invited, &[Leave, Invite], true),
        (Invited, &[Knock, Ban], false),
        (Joined, &[Invite, Join], true),
        (Joined, &[Invite, Leave], false),
        (Joined, &[], false),
    ] {
        assert_eq!(server_may_see(visibility, users.iter().copied()), expected);
    }
}

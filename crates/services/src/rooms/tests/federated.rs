//! Rooms across homeservers: joining, forks, gaps, history.

use std::sync::Arc;

use model::room_version::RoomVersion;
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde_json::{Map, json};
use store::memberships::Kind;

use super::{
    message,
    network::{Network, own_events, state, timeline},
    new_room,
};
use crate::{
    destinations::{Destinations, Scope},
    rooms::{
        Rooms, WriteError,
        create::{NewRoom, Preset, raw},
        join::Joining,
        membership::NewMembership,
        receive::Received,
        send::NewEvent,
    },
};

fn user(name: &str, server: &str) -> OwnedUserId {
    format!("@{name}:{server}").try_into().unwrap()
}

fn alice() -> OwnedUserId {
    user("alice", "acme.example")
}

fn bob() -> OwnedUserId {
    user("bob", "hansa.example")
}

/// Two companies; alice of the first one has a public room that bob of the second one joined.
async fn two(version: RoomVersion) -> (Arc<Network>, Rooms, Rooms, OwnedRoomId) {
    let network = Arc::new(Network::default());
    let (acme, hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let room = acme.create(new_room(version, Preset::PublicChat)).await.unwrap();
    join(&hansa, bob(), &room, "acme.example").await;
    (network, acme, hansa, room)
}

async fn join(rooms: &Rooms, user: OwnedUserId, room_id: &OwnedRoomId, via: &str) {
    let joining = Joining {
        user,
        room_id: room_id.clone(),
        via: vec![via.try_into().unwrap()],
        content: Map::new(),
    };
    rooms.join(joining).await.unwrap();
}

fn topic(sender: &OwnedUserId, topic: &str) -> NewEvent {
    NewEvent {
        event_type: "m.room.topic".to_owned(),
        state_key: Some(String::new()),
        content: raw(&json!({ "topic": topic })),
        ..message(sender, "", None)
    }
}

async fn set(
    rooms: &Rooms,
    room: &OwnedRoomId,
    sender: OwnedUserId,
    target: OwnedUserId,
    membership: MembershipState,
) {
    let new = NewMembership { sender, target, membership, content: Map::new() };
    rooms.set_membership(room, new).await.unwrap();
}

async fn bodies(rooms: &Rooms, room: &OwnedRoomId) -> Vec<String> {
    let body = |pdu: &model::pdu::Pdu| {
        let content: serde_json::Value = pdu.content_as()?;
        Some(content.get("body")?.as_str()?.to_owned())
    };
    timeline(rooms, room).await.iter().filter_map(|event| body(event)).collect()
}

async fn assert_same_state(one: &Rooms, other: &Rooms, room: &OwnedRoomId) {
    assert_eq!(state(one, room).await, state(other, room).await);
}

#[tokio::test]
async fn a_join_through_another_server_brings_the_rooms_state() {
    for version in RoomVersion::ALL {
        let (_, acme, hansa, room) = two(version).await;
        assert_same_state(&acme, &hansa, &room).await;
    }
}

#[tokio::test]
async fn messages_of_both_sides_arrive_on_both_sides() {
    let (network, acme, hansa, room) = two(RoomVersion::V12).await;
    acme.send(&room, message(&alice(), "hello", None)).await.unwrap();
    network.deliver(&acme, &hansa, &room).await;
    hansa.send(&room, message(&bob(), "hi", None)).await.unwrap();
    network.deliver(&hansa, &acme, &room).await;
    assert_eq!(bodies(&acme, &room).await, ["hello", "hi"]);
    assert_eq!(bodies(&hansa, &room).await, ["hello", "hi"]);
}

#[tokio::test]
async fn both_sides_agree_after_both_went_on_alone() {
    for version in RoomVersion::ALL {
        let (network, acme, hansa, room) = two(version).await;
        let power = NewEvent {
            event_type: "m.room.power_levels".to_owned(),
            state_key: Some(String::new()),
            content: raw(&if version == RoomVersion::V12 {
                json!({ "users": { bob().as_str(): 50 }, "state_default": 50 })
            } else {
                json!({ "users": { alice().as_str(): 100, bob().as_str(): 50 }, "state_default": 50 })
            }),
            ..message(&alice(), "", None)
        };
        acme.send(&room, power).await.unwrap();
        network.deliver(&acme, &hansa, &room).await;
        for n in 0..3 {
            acme.send(&room, topic(&alice(), &format!("acme {n}"))).await.unwrap();
            acme.send(&room, message(&alice(), &format!("from acme {n}"), None)).await.unwrap();
            hansa.send(&room, topic(&bob(), &format!("hansa {n}"))).await.unwrap();
            hansa.send(&room, message(&bob(), &format!("from hansa {n}"), None)).await.unwrap();
        }
        network.deliver(&acme, &hansa, &room).await;
        network.deliver(&hansa, &acme, &room).await;
        assert_same_state(&acme, &hansa, &room).await;
        let (mut ours, mut theirs) = (bodies(&acme, &room).await, bodies(&hansa, &room).await);
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), 6);
    }
}

#[tokio::test]
async fn a_ban_made_while_apart_keeps_the_banned_users_messages_out() {
    let (network, acme, hansa, room) = two(RoomVersion::V12).await;
    set(&acme, &room, alice(), bob(), MembershipState::Ban).await;
    hansa.send(&room, message(&bob(), "after the ban", None)).await.unwrap();
    let event = own_events(&hansa, &room).await.pop().unwrap();
    let received = network.deliver_event(&hansa, &acme, &event).await.unwrap();
    assert_eq!(received, Received::NotShown);
    assert_eq!(bodies(&acme, &room).await, Vec::<String>::new());
    network.deliver(&acme, &hansa, &room).await;
    assert_same_state(&acme, &hansa, &room).await;
}

#[tokio::test]
async fn a_gap_is_filled_before_the_event_after_it() {
    let (network, acme, hansa, room) = two(RoomVersion::V12).await;
    for n in 0..5 {
        acme.send(&room, message(&alice(), &format!("{n}"), None)).await.unwrap();
    }
    let last = own_events(&acme, &room).await.pop().unwrap();
    let received = network.deliver_event(&acme, &hansa, &last).await.unwrap();
    assert_eq!(received, Received::Accepted);
    assert_eq!(bodies(&hansa, &room).await, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn history_from_before_the_join_can_be_fetched() {
    let network = Arc::new(Network::default());
    let (acme, hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let room = acme.create(new_room(RoomVersion::V12, Preset::PublicChat)).await.unwrap();
    for n in 0..5 {
        acme.send(&room, message(&alice(), &format!("{n}"), None)).await.unwrap();
    }
    join(&hansa, bob(), &room, "acme.example").await;
    assert_eq!(bodies(&hansa, &room).await, Vec::<String>::new());
    let open = hansa.get(&room).await.unwrap();
    while hansa.backfill(&open).await.unwrap() > 0 {}
    assert_eq!(bodies(&hansa, &room).await, ["0", "1", "2", "3", "4"]);
    let ids = |events: Vec<Arc<model::pdu::Pdu>>| -> Vec<_> {
        events.iter().map(|event| event.event_id.clone()).collect()
    };
    assert_eq!(ids(timeline(&hansa, &room).await), ids(timeline(&acme, &room).await));
}

#[tokio::test]
async fn an_invitation_crosses_the_border_and_can_be_accepted() {
    let network = Arc::new(Network::default());
    let (acme, hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let room = acme.create(new_room(RoomVersion::V12, Preset::PrivateChat)).await.unwrap();
    let new = NewMembership {
        sender: alice(),
        target: bob(),
        membership: MembershipState::Invite,
        content: Map::new(),
    };
    acme.invite(&room, new).await.unwrap();
    let open = hansa.get(&room).await.unwrap();
    let membership = hansa.membership(&open, &bob()).await.unwrap().unwrap();
    assert_eq!(membership.kind, Kind::Invite);
    assert!(membership.stripped_state.unwrap().contains("Ledger"));
    // Nobody says through whom: the invitation knows.
    let joining =
        Joining { user: bob(), room_id: room.clone(), via: Vec::new(), content: Map::new() };
    hansa.join(joining).await.unwrap();
    assert_same_state(&acme, &hansa, &room).await;
}

#[tokio::test]
async fn the_end_of_an_earlier_invitation_does_not_end_a_new_one() {
    let network = Arc::new(Network::default());
    let (acme, hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let room = acme.create(new_room(RoomVersion::V12, Preset::PrivateChat)).await.unwrap();
    let invite = || NewMembership {
        sender: alice(),
        target: bob(),
        membership: MembershipState::Invite,
        content: Map::new(),
    };
    acme.invite(&room, invite()).await.unwrap();
    set(&acme, &room, alice(), bob(), MembershipState::Leave).await;
    let withdrawn = timeline(&acme, &room).await.pop().unwrap();
    // The new invitation is sent at once, the end of the old one waits in a queue.
    acme.invite(&room, invite()).await.unwrap();
    let open = hansa.get(&room).await.unwrap();
    assert!(!hansa.receive_retraction(&open, &withdrawn).await.unwrap());
    let kind = async || hansa.membership(&open, &bob()).await.unwrap().unwrap().kind;
    assert_eq!(kind().await, Kind::Invite);
    set(&acme, &room, alice(), bob(), MembershipState::Leave).await;
    let withdrawn = timeline(&acme, &room).await.pop().unwrap();
    assert!(hansa.receive_retraction(&open, &withdrawn).await.unwrap());
    assert_eq!(kind().await, Kind::Leave);
}

#[tokio::test]
async fn an_invitation_that_overtakes_the_ban_before_it_is_kept() {
    let (network, acme, hansa, room) = two(RoomVersion::V12).await;
    let open = hansa.get(&room).await.unwrap();
    set(&acme, &room, alice(), bob(), MembershipState::Ban).await;
    let ban = timeline(&acme, &room).await.pop().unwrap();
    set(&acme, &room, alice(), bob(), MembershipState::Leave).await;
    let unban = timeline(&acme, &room).await.pop().unwrap();
    let invite = NewMembership {
        sender: alice(),
        target: bob(),
        membership: MembershipState::Invite,
        content: Map::new(),
    };
    acme.invite(&room, invite).await.unwrap();
    let membership = async || hansa.membership(&open, &bob()).await.unwrap().unwrap();
    assert_eq!(membership().await.kind, Kind::Join, "the ban is still on its way");
    network.deliver_event(&acme, &hansa, &ban).await.unwrap();
    assert!(!hansa.receive_retraction(&open, &unban).await.unwrap());
    let invited = membership().await;
    assert_eq!(invited.kind, Kind::Invite);
    assert!(invited.stripped_state.unwrap().contains("Ledger"));
    let joining =
        Joining { user: bob(), room_id: room.clone(), via: Vec::new(), content: Map::new() };
    hansa.join(joining).await.unwrap();
    assert_eq!(membership().await.kind, Kind::Join);
    assert_same_state(&acme, &hansa, &room).await;
}

#[tokio::test]
async fn an_invitation_can_be_declined() {
    let network = Arc::new(Network::default());
    let (acme, hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let room = acme.create(new_room(RoomVersion::V12, Preset::PrivateChat)).await.unwrap();
    let new = NewMembership {
        sender: alice(),
        target: bob(),
        membership: MembershipState::Invite,
        content: Map::new(),
    };
    acme.invite(&room, new).await.unwrap();
    let leaving =
        Joining { user: bob(), room_id: room.clone(), via: Vec::new(), content: Map::new() };
    hansa.leave(leaving).await.unwrap();
    let open = hansa.get(&room).await.unwrap();
    let membership = hansa.membership(&open, &bob()).await.unwrap().unwrap();
    assert_eq!(membership.kind, Kind::Leave);
    let left = state(&acme, &room).await;
    let event = left.iter().find(|(_, key, _)| key == bob().as_str()).unwrap();
    let last = timeline(&acme, &room).await.pop().unwrap();
    assert_eq!(last.event_id, event.2);
    assert_eq!(last.membership(), Some(MembershipState::Leave));
}

#[tokio::test]
async fn a_server_that_left_can_come_back() {
    let (network, acme, hansa, room) = two(RoomVersion::V12).await;
    set(&hansa, &room, bob(), bob(), MembershipState::Leave).await;
    network.deliver(&hansa, &acme, &room).await;
    acme.send(&room, topic(&alice(), "while away")).await.unwrap();
    acme.send(&room, message(&alice(), "while away", None)).await.unwrap();
    join(&hansa, bob(), &room, "acme.example").await;
    assert_same_state(&acme, &hansa, &room).await;
    acme.send(&room, message(&alice(), "again together", None)).await.unwrap();
    network.deliver(&acme, &hansa, &room).await;
    assert!(bodies(&hansa, &room).await.contains(&"again together".to_owned()));
}

#[tokio::test]
async fn who_is_refused_by_the_servers_he_names_is_not_taken_to_others() {
    let network = Arc::new(Network::default());
    let (acme, hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let room = acme.create(new_room(RoomVersion::V11, Preset::PrivateChat)).await.unwrap();
    let joining = |via: &[&str]| Joining {
        user: bob(),
        room_id: room.clone(),
        via: via.iter().map(|server| (*server).try_into().unwrap()).collect(),
        content: Map::new(),
    };
    // The room's id names a server, which is asked for want of a better one.
    for via in [&["acme.example"][..], &[]] {
        let refused = hansa.join(joining(via)).await;
        let refused = matches!(
            refused,
            Err(crate::rooms::join::JoinError::Remote(
                crate::rooms::remote::RemoteError::Refused { .. }
            ))
        );
        assert!(refused, "{via:?}");
    }
}

#[tokio::test]
async fn a_server_vouches_only_for_whom_it_sees_in_the_other_room() {
    let (_network, acme, hansa, lobby) = two(RoomVersion::V11).await;
    let allow = json!([{ "type": "m.room_membership", "room_id": lobby }]);
    let rules = json!({ "join_rule": "restricted", "allow": allow });
    let new = NewRoom {
        initial_state: vec![("m.room.join_rules".to_owned(), String::new(), rules)],
        ..new_room(RoomVersion::V11, Preset::PublicChat)
    };
    let room = acme.create(new).await.unwrap();
    join(&hansa, bob(), &room, "acme.example").await;
    // Nobody of hansa is in the lobby any more: what it knows of it is of the past.
    set(&hansa, &lobby, bob(), bob(), MembershipState::Leave).await;
    let at_hansa = hansa.get(&room).await.unwrap();
    let refused = hansa.propose(&at_hansa, &alice(), MembershipState::Join).await;
    let carol = user("carol", "other.example");
    let of_a_stranger = hansa.propose(&at_hansa, &carol, MembershipState::Join).await;
    assert!(matches!(of_a_stranger, Err(WriteError::CannotAuthorise)), "{of_a_stranger:?}");
    assert!(refused.is_ok(), "who is in the room may change how he is shown");
}

#[tokio::test]
async fn what_the_senders_server_lacks_is_asked_of_the_others() {
    let (network, acme, hansa, room) = two(RoomVersion::V12).await;
    let lubeca = network.add("lubeca.example");
    acme.send(&room, message(&alice(), "before dora came", None)).await.unwrap();
    let dora = user("dora", "lubeca.example");
    join(&lubeca, dora.clone(), &room, "acme.example").await;
    lubeca.send(&room, message(&dora, "dora's first", None)).await.unwrap();
    let last = own_events(&lubeca, &room).await.pop().unwrap();
    network.deliver_event(&lubeca, &hansa, &last).await.unwrap();
    assert_eq!(bodies(&hansa, &room).await, ["before dora came", "dora's first"]);
}

#[tokio::test]
async fn a_redaction_in_the_history_that_is_fetched_takes_effect() {
    let (network, acme, hansa, room) = two(RoomVersion::V12).await;
    acme.send(&room, message(&alice(), "a secret", None)).await.unwrap();
    network.deliver(&acme, &hansa, &room).await;
    assert_eq!(bodies(&hansa, &room).await, ["a secret"]);
    let target = own_events(&acme, &room).await.pop().unwrap().event_id.clone();
    set(&hansa, &room, bob(), bob(), MembershipState::Leave).await;
    network.deliver(&hansa, &acme, &room).await;
    let redaction = NewEvent {
        event_type: "m.room.redaction".to_owned(),
        content: raw(&json!({ "redacts": target })),
        redacts: Some(target),
        ..message(&alice(), "", None)
    };
    acme.send(&room, redaction).await.unwrap();
    join(&hansa, bob(), &room, "acme.example").await;
    let open = hansa.get(&room).await.unwrap();
    let gap = own_events(&acme, &room).await.pop().unwrap();
    let history = crate::rooms::Arrival::Backfilled(-1);
    let how = (history, crate::rooms::receive::Patience::AtLast);
    let from = &acme.context().server_name;
    hansa.receive_one(&open, from, &gap, how).await.unwrap();
    assert_eq!(bodies(&hansa, &room).await, Vec::<String>::new());
}

/// `lubeca` joins through `acme`, which then closes the room, while `hansa` knows of neither and
/// speaks. By the rules that come first now, the join does not hold.
#[tokio::test]
async fn who_is_put_out_by_a_fork_alone_is_sent_the_event_that_ends_it() {
    let (network, acme, hansa, room) = two(RoomVersion::V11).await;
    let lubeca = network.add("lubeca.example");
    let dora = user("dora", "lubeca.example");
    join(&lubeca, dora.clone(), &room, "acme.example").await;
    let close = NewEvent {
        event_type: "m.room.join_rules".to_owned(),
        state_key: Some(String::new()),
        content: raw(&json!({ "join_rule": "invite" })),
        // Of two rules the later one holds.
        timestamp_ms: Some(acme.context().clock.now_ms() + 1),
        ..message(&alice(), "", None)
    };
    acme.send(&room, close).await.unwrap();
    let close = own_events(&acme, &room).await.pop().unwrap();
    network.deliver_event(&acme, &lubeca, &close).await.unwrap();
    hansa.send(&room, message(&bob(), "I know of nothing", None)).await.unwrap();
    network.deliver(&hansa, &acme, &room).await;
    let is_in = async |rooms: &Rooms| {
        state(rooms, &room).await.iter().any(|(_, key, _)| key == dora.as_str())
    };
    assert!(!is_in(&acme).await);
    assert!(is_in(&lubeca).await, "nobody has told it");
    acme.send(&room, message(&alice(), "the end of the fork", None)).await.unwrap();
    let merge = own_events(&acme, &room).await.pop().unwrap();
    acme.send(&room, message(&alice(), "not for lubeca", None)).await.unwrap();
    let sent = pending(&acme, "lubeca.example").await;
    assert_eq!(sent.last(), Some(&merge.event_id));
    network.deliver_event(&acme, &lubeca, &merge).await.unwrap();
    assert!(!is_in(&lubeca).await);
    // Whoever has heard of dora sees to it that her server gets to know.
    network.deliver(&acme, &hansa, &room).await;
    assert!(!is_in(&hansa).await);
}

async fn pending(rooms: &Rooms, server: &str) -> Vec<ruma::OwnedEventId> {
    let destinations = Destinations::new(rooms.context().clone());
    let up_to = rooms.context().log.position();
    let scope = Scope { rooms: None, up_to, pdus_max: 50, edus_max: 50 };
    let server: ruma::OwnedServerName = server.try_into().unwrap();
    let pending = destinations.pending(&server, scope).await.unwrap();
    pending.pdus.into_iter().map(|(event_id, _)| event_id).collect()
}

/// Dora kicks bob while alice takes her the power to do so: by the rules that come first, bob has
/// been in the room all the time.
#[tokio::test]
async fn a_server_that_a_fork_brings_back_has_not_been_away() {
    let (network, acme, hansa, room) = two(RoomVersion::V11).await;
    let lubeca = network.add("lubeca.example");
    let dora = user("dora", "lubeca.example");
    let power = |dora_has: i64| NewEvent {
        event_type: "m.room.power_levels".to_owned(),
        state_key: Some(String::new()),
        content: raw(&json!({ "users": { alice().as_str(): 100, dora.as_str(): dora_has } })),
        ..message(&alice(), "", None)
    };
    acme.send(&room, power(50)).await.unwrap();
    join(&lubeca, dora.clone(), &room, "acme.example").await;
    let open = lubeca.get(&room).await.unwrap();
    let presence = async || {
        let presence = lubeca.read(open.number, |rows| {
            store::memberships::server_in_room(rows.snapshot, "hansa.example", rows.room)
        });
        presence.await.unwrap().unwrap()
    };
    let before = presence().await;
    set(&lubeca, &room, dora.clone(), bob(), MembershipState::Leave).await;
    assert_eq!(presence().await.joined, 0);
    acme.send(&room, power(0)).await.unwrap();
    let demotion = own_events(&acme, &room).await.pop().unwrap();
    network.deliver_event(&acme, &lubeca, &demotion).await.unwrap();
    assert_eq!(presence().await, before);
    drop(hansa);
}

#[tokio::test]
async fn a_redaction_counts_by_the_power_that_its_sender_had() {
    let (network, acme, hansa, room) = two(RoomVersion::V11).await;
    let power = |bob_has: i64| NewEvent {
        event_type: "m.room.power_levels".to_owned(),
        state_key: Some(String::new()),
        content: raw(&json!({ "users": { alice().as_str(): 100, bob().as_str(): bob_has } })),
        ..message(&alice(), "", None)
    };
    acme.send(&room, power(50)).await.unwrap();
    acme.send(&room, message(&alice(), "redacted by bob", None)).await.unwrap();
    for event in own_events(&acme, &room).await.iter().rev().take(2).rev() {
        network.deliver_event(&acme, &hansa, event).await.unwrap();
    }
    let target = own_events(&acme, &room).await.pop().unwrap().event_id.clone();
    let redaction = NewEvent {
        event_type: "m.room.redaction".to_owned(),
        content: raw(&json!({ "redacts": target })),
        redacts: Some(target),
        ..message(&bob(), "", None)
    };
    hansa.send(&room, redaction).await.unwrap();
    acme.send(&room, power(0)).await.unwrap();
    let redaction = own_events(&hansa, &room).await.pop().unwrap();
    network.deliver_event(&hansa, &acme, &redaction).await.unwrap();
    assert_eq!(bodies(&acme, &room).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_user_who_left_joins_again_only_where_that_is_known() {
    let (network, acme, hansa, room) = two(RoomVersion::V12).await;
    set(&hansa, &room, bob(), bob(), MembershipState::Leave).await;
    let joining = || Joining {
        user: bob(),
        room_id: room.clone(),
        via: vec!["acme.example".try_into().unwrap()],
        content: Map::new(),
    };
    assert!(hansa.join(joining()).await.is_err());
    let leave = own_events(&hansa, &room).await.pop().unwrap();
    network.deliver_event(&hansa, &acme, &leave).await.unwrap();
    hansa.join(joining()).await.unwrap();
    assert_same_state(&acme, &hansa, &room).await;
}

#[tokio::test]
async fn two_who_come_into_a_room_at_once_are_both_in_it() {
    let network = Arc::new(Network::default());
    let (acme, hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let room = acme.create(new_room(RoomVersion::V12, Preset::PublicChat)).await.unwrap();
    let ben = user("ben", "hansa.example");
    tokio::join!(
        join(&hansa, bob(), &room, "acme.example"),
        join(&hansa, ben.clone(), &room, "acme.example")
    );
    for event in own_events(&hansa, &room).await {
        network.deliver_event(&hansa, &acme, &event).await.unwrap();
    }
    assert_same_state(&acme, &hansa, &room).await;
    let state = state(&acme, &room).await;
    assert!([bob(), ben].iter().all(|user| state.iter().any(|(_, key, _)| key == user.as_str())));
}

/// Clients join a space, and then at once a room of it.
#[tokio::test]
async fn who_came_into_the_other_room_a_moment_ago_is_let_in() {
    let (network, acme, hansa, lobby) = two(RoomVersion::V11).await;
    let allow = json!([{ "type": "m.room_membership", "room_id": lobby }]);
    let rules = json!({ "join_rule": "restricted", "allow": allow });
    let new = NewRoom {
        initial_state: vec![("m.room.join_rules".to_owned(), String::new(), rules)],
        ..new_room(RoomVersion::V11, Preset::PublicChat)
    };
    let room = acme.create(new).await.unwrap();
    join(&hansa, bob(), &room, "acme.example").await;
    let carol = user("carol", "hansa.example");
    join(&hansa, carol.clone(), &lobby, "acme.example").await;
    // Only alice may vouch, and her server hears that Carol is in the lobby when it has refused her.
    let hears = async {
        network.refused.notified().await;
        network.deliver(&hansa, &acme, &lobby).await;
    };
    tokio::join!(join(&hansa, carol, &room, "acme.example"), hears);
    assert_same_state(&acme, &hansa, &room).await;
}

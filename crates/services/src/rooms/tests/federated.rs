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
use crate::rooms::{
    Rooms, WriteError,
    create::{NewRoom, Preset, raw},
    join::Joining,
    membership::NewMembership,
    receive::Received,
    send::NewEvent,
};

mod forks;

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

/// Alice invites bob.
fn invitation() -> NewMembership {
    NewMembership {
        sender: alice(),
        target: bob(),
        membership: MembershipState::Invite,
        content: Map::new(),
    }
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
    acme.invite(&room, invitation()).await.unwrap();
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
async fn the_end_of_an_invitation_waits_for_its_server_from_its_commit_on() {
    let network = Arc::new(Network::default());
    let (acme, _hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let room = acme.create(new_room(RoomVersion::V12, Preset::PrivateChat)).await.unwrap();
    acme.invite(&room, invitation()).await.unwrap();
    assert_eq!(forks::pending(&acme, "hansa.example").await.len(), 0);
    // Nobody sends at this homeserver: as if it died right now.
    set(&acme, &room, alice(), bob(), MembershipState::Leave).await;
    let withdrawn = timeline(&acme, &room).await.pop().unwrap();
    let pending = forks::pending(&acme, "hansa.example").await;
    assert_eq!(pending.iter().collect::<Vec<_>>(), [&withdrawn.event_id]);
}

#[tokio::test]
async fn the_end_of_an_earlier_invitation_does_not_end_a_new_one() {
    let network = Arc::new(Network::default());
    let (acme, hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let room = acme.create(new_room(RoomVersion::V12, Preset::PrivateChat)).await.unwrap();
    acme.invite(&room, invitation()).await.unwrap();
    set(&acme, &room, alice(), bob(), MembershipState::Leave).await;
    let withdrawn = timeline(&acme, &room).await.pop().unwrap();
    // The new invitation is sent at once, the end of the old one waits in a queue.
    acme.invite(&room, invitation()).await.unwrap();
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
    acme.invite(&room, invitation()).await.unwrap();
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
    acme.invite(&room, invitation()).await.unwrap();
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

/// A room of acme's for the members of the lobby; bob of hansa is in it.
async fn restricted_to(lobby: &OwnedRoomId, acme: &Rooms, hansa: &Rooms) -> OwnedRoomId {
    let allow = json!([{ "type": "m.room_membership", "room_id": lobby }]);
    let rules = json!({ "join_rule": "restricted", "allow": allow });
    let new = NewRoom {
        initial_state: vec![("m.room.join_rules".to_owned(), String::new(), rules)],
        ..new_room(RoomVersion::V11, Preset::PublicChat)
    };
    let room = acme.create(new).await.unwrap();
    join(hansa, bob(), &room, "acme.example").await;
    room
}

#[tokio::test]
async fn a_server_vouches_only_for_whom_it_sees_in_the_other_room() {
    let (_network, acme, hansa, lobby) = two(RoomVersion::V11).await;
    let room = restricted_to(&lobby, &acme, &hansa).await;
    // Nobody of hansa is in the lobby any more: what it knows of it is of the past.
    set(&hansa, &lobby, bob(), bob(), MembershipState::Leave).await;
    let at_hansa = hansa.get(&room).await.unwrap();
    let refused = hansa.propose(&at_hansa, &alice(), MembershipState::Join).await;
    let carol = user("carol", "other.example");
    let of_a_stranger = hansa.propose(&at_hansa, &carol, MembershipState::Join).await;
    assert!(matches!(of_a_stranger, Err(WriteError::CannotAuthorise)), "{of_a_stranger:?}");
    assert!(refused.is_ok(), "who is in the room may change how he is shown");
}

/// Clients join a space, and then at once a room of it.
#[tokio::test]
async fn who_came_into_the_other_room_a_moment_ago_is_let_in() {
    let (network, acme, hansa, lobby) = two(RoomVersion::V11).await;
    let room = restricted_to(&lobby, &acme, &hansa).await;
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

//! Forks and gaps: what of a room comes late, or twice, or never to one of its servers. Most of these
//! bugs were found by `tests/simulation`.

use model::pdu::Pdu;

use super::*;
use crate::{
    destinations::{Destinations, Scope},
    visibility::Oracle,
};

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

pub(super) async fn pending(rooms: &Rooms, server: &str) -> Vec<ruma::OwnedEventId> {
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

/// Hansa's last user is banned while one more of them joins, who cannot know of it.
#[tokio::test]
async fn a_server_whose_next_user_knows_of_no_leave_has_not_been_away() {
    let (network, acme, hansa, room) = two(RoomVersion::V11).await;
    let open = acme.get(&room).await.unwrap();
    let presence = async || {
        let presence = acme.read(open.number, |rows| {
            store::memberships::server_in_room(rows.snapshot, "hansa.example", rows.room)
        });
        presence.await.unwrap().unwrap()
    };
    let before = presence().await;
    join(&hansa, user("ben", "hansa.example"), &room, "acme.example").await;
    acme.send(&room, message(&alice(), "hansa is to know this", None)).await.unwrap();
    set(&acme, &room, alice(), bob(), MembershipState::Ban).await;
    assert_eq!(presence().await.joined, 0);
    let bens = own_events(&hansa, &room).await.pop().unwrap();
    network.deliver_event(&hansa, &acme, &bens).await.unwrap();
    assert_eq!(presence().await, before);
}

#[tokio::test]
async fn a_redaction_that_comes_before_its_event_takes_effect() {
    let (network, acme, hansa, room) = two(RoomVersion::V12).await;
    hansa.send(&room, message(&bob(), "a secret", None)).await.unwrap();
    let secret = own_events(&hansa, &room).await.pop().unwrap();
    let redaction = NewEvent {
        event_type: "m.room.redaction".to_owned(),
        content: raw(&json!({ "redacts": secret.event_id })),
        redacts: Some(secret.event_id.clone()),
        ..message(&alice(), "", None)
    };
    acme.send(&room, redaction).await.unwrap();
    network.deliver_event(&hansa, &acme, &secret).await.unwrap();
    assert_eq!(bodies(&acme, &room).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_gap_is_filled_without_taking_history_for_news() {
    let network = Arc::new(Network::default());
    let (acme, hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let lubeca = network.add("lubeca.example");
    let room = acme.create(new_room(RoomVersion::V12, Preset::PublicChat)).await.unwrap();
    acme.send(&room, message(&alice(), "long ago", None)).await.unwrap();
    let dora = user("dora", "lubeca.example");
    join(&lubeca, dora.clone(), &room, "acme.example").await;
    lubeca.send(&room, message(&dora, "late", None)).await.unwrap();
    for n in 0..3 {
        acme.send(&room, message(&alice(), &format!("{n}"), None)).await.unwrap();
    }
    join(&hansa, bob(), &room, "acme.example").await;
    let late = own_events(&lubeca, &room).await.pop().unwrap();
    network.deliver_event(&lubeca, &hansa, &late).await.unwrap();
    let is_of = |user: &OwnedUserId| {
        let user = user.clone();
        move |event: &Arc<Pdu>| event.is_at("m.room.member", user.as_str())
    };
    let timeline = timeline(&hansa, &room).await;
    let bobs = timeline.iter().position(is_of(&bob())).unwrap();
    let after = timeline[bobs + 1..].iter().map(|event| &event.event_id).collect::<Vec<_>>();
    assert_eq!(after, [&late.event_id]);
}

#[tokio::test]
async fn a_ban_that_comes_late_does_not_lengthen_a_stay() {
    let (network, acme, hansa, room) = two(RoomVersion::V11).await;
    let ben = user("ben", "hansa.example");
    join(&hansa, ben.clone(), &room, "acme.example").await;
    for event in own_events(&hansa, &room).await {
        network.deliver_event(&hansa, &acme, &event).await.unwrap();
    }
    set(&acme, &room, alice(), bob(), MembershipState::Ban).await;
    set(&hansa, &room, bob(), bob(), MembershipState::Leave).await;
    hansa.send(&room, message(&ben, "bob is away", None)).await.unwrap();
    let said = own_events(&hansa, &room).await.pop().unwrap().event_id.clone();
    let ban = own_events(&acme, &room).await.pop().unwrap();
    network.deliver_event(&acme, &hansa, &ban).await.unwrap();
    let open = hansa.get(&room).await.unwrap();
    let seen = hansa.read(open.number, move |rows| {
        let (_, number) = store::events::number(rows.snapshot, &said)?.unwrap();
        let event = store::events::get(rows.snapshot, rows.room, number)?.unwrap();
        Ok([Oracle::new(rows, &bob()).sees(&event)?, Oracle::new(rows, &ben).sees(&event)?])
    });
    assert_eq!(seen.await.unwrap(), [false, true]);
}

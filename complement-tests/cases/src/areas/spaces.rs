//! Spaces: what is in them, and what a room shows to somebody who is not in it.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{becomes, each, list, public_room, set, text},
};
use harness::{Account, Answer, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestClientSpacesSummary", whole_tree),
        case("TestClientSpacesSummaryJoinRules", by_join_rule),
        case("TestFederatedClientSpaces", federated),
        case("TestRestrictedRoomsSpacesSummaryLocal", |stage| by_membership(stage, false)),
        case("TestRestrictedRoomsSpacesSummaryFederation", |stage| by_membership(stage, true)),
        case("TestRoomSummaryAllowedRoomIDs", allowed_rooms),
    ]
}

async fn space(of: &Account, name: &str) -> String {
    let content = json!({ "type": "m.space" });
    let options = json!({ "preset": "public_chat", "name": name, "creation_content": content });
    of.create_room(&options).await
}

async fn room(of: &Account, name: &str) -> String {
    of.create_room(&json!({ "preset": "public_chat", "name": name })).await
}

/// A room that lets in whom `rule` says.
async fn ruled(of: &Account, rule: Value) -> String {
    let rule = json!({ "type": "m.room.join_rules", "state_key": "", "content": rule });
    of.create_room(&json!({ "room_version": "10", "initial_state": [rule] })).await
}

fn members_of(hall: &str) -> Value {
    let allow = json!([{ "type": "m.room_membership", "room_id": hall }]);
    json!({ "join_rule": "restricted", "allow": allow })
}

async fn put_into(of: &Account, space: &str, child: &str, suggested: bool) {
    let (_, server) = of.user_id.split_once(':').expect("a server");
    let content = json!({ "via": [server], "suggested": suggested });
    of.set_state(space, "m.space.child", child, &content).await;
}

async fn try_look(who: &Account, space: &str, query: &[(&str, &str)]) -> Answer {
    let path = ["_matrix", "client", "v1", "rooms", space, "hierarchy"];
    who.call_at(Method::GET, &path).query(query).answer().await
}

/// One page of the rooms in a space.
async fn look(who: &Account, space: &str, query: &[(&str, &str)]) -> Value {
    try_look(who, space, query).await.ok()
}

async fn rooms(who: &Account, space: &str, query: &[(&str, &str)]) -> BTreeSet<String> {
    set(list(&look(who, space, query).await, "/rooms"), "room_id")
}

fn names<const N: usize>(rooms: [&String; N]) -> BTreeSet<String> {
    rooms.into_iter().cloned().collect()
}

/// A root with two rooms and a space; the space with a room, and one that another user made.
async fn whole_tree(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let (root, inner) = (space(&alice, "root").await, space(&alice, "inner").await);
    let (one, two) = (room(&alice, "one").await, room(&alice, "two").await);
    let (leaf, foreign) = (room(&alice, "leaf").await, room(&bob, "foreign").await);
    for (parent, child, suggested) in [
        (&root, &one, true),
        (&root, &inner, false),
        (&root, &two, false),
        (&inner, &leaf, true),
        (&inner, &foreign, false),
        // What is no space has no rooms in it, whatever it says.
        (&two, &foreign, false),
    ] {
        put_into(&alice, parent, child, suggested).await;
    }
    stage
        .row("query whole graph", async {
            let all = look(&alice, &root, &[]).await;
            let all = list(&all, "/rooms");
            assert_eq!(each(all, "room_id").first(), Some(&root), "the space comes first");
            assert_eq!(set(all, "room_id"), names([&root, &inner, &one, &two, &leaf, &foreign]));
            let of = |id: &str| all.iter().find(|room| room["room_id"] == id).expect("the room");
            assert_eq!(
                (&of(&inner)["name"], &of(&inner)["room_type"]),
                (&json!("inner"), &json!("m.space"))
            );
            assert_eq!(
                (&of(&one)["num_joined_members"], &of(&one)["join_rule"]),
                (&json!(1), &json!("public"))
            );
            assert_eq!(
                set(list(of(&root), "/children_state"), "state_key"),
                names([&one, &two, &inner])
            );
            let child = &of(&inner)["children_state"][0];
            for field in ["type", "sender", "content", "origin_server_ts"] {
                assert!(child.get(field).is_some(), "{field} is missing in {child}");
            }
        })
        .await;
    stage
        .row("max_depth", async {
            let near = rooms(&alice, &root, &[("max_depth", "1")]).await;
            assert_eq!(near, names([&root, &inner, &one, &two]));
        })
        .await;
    stage
        .row("suggested_only", async {
            let suggested = rooms(&alice, &root, &[("suggested_only", "true")]).await;
            assert_eq!(suggested, names([&root, &one]));
        })
        .await;
    stage.row("pagination", pages(&alice, &root, 6)).await;
    stage
        .row("redact link", async {
            let link = alice.state(&root).await.id("m.space.child", &inner).expect("the link");
            alice.redact(&root, &link).await;
            assert_eq!(rooms(&alice, &root, &[]).await, names([&root, &one, &two]));
        })
        .await;
}

/// Page by page, every room comes once.
async fn pages(alice: &Account, root: &str, rooms: usize) {
    let mut seen = Vec::new();
    let mut from = String::new();
    loop {
        let mut query = vec![("limit", "2")];
        if !from.is_empty() {
            query.push(("from", from.as_str()));
        }
        let page = look(alice, root, &query).await;
        let found = each(list(&page, "/rooms"), "room_id");
        assert!((1..=2).contains(&found.len()), "{page}");
        seen.extend(found);
        match page["next_batch"].as_str() {
            Some(next) => from = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), rooms, "each room once: {seen:?}");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), rooms);
}

/// What somebody sees of rooms that he is not in is what he could join.
async fn by_join_rule(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let root = space(&alice, "root").await;
    let (open, private) =
        (room(&alice, "open").await, ruled(&alice, json!({ "join_rule": "invite" })).await);
    let knock = ruled(&alice, json!({ "join_rule": "knock" })).await;
    let members = ruled(&alice, members_of(&root)).await;
    for child in [&open, &private, &knock, &members] {
        put_into(&alice, &root, child, false).await;
    }
    stage
        .row("who is in all of them sees all", async {
            assert_eq!(
                rooms(&alice, &root, &[]).await,
                names([&root, &open, &private, &knock, &members])
            );
        })
        .await;
    stage
        .row("who is in none sees where he may come in, or knock", async {
            assert_eq!(rooms(&bob, &root, &[]).await, names([&root, &open, &knock]));
        })
        .await;
    stage
        .row("who is invited sees that room", async {
            alice.invite(&private, &bob.user_id).await;
            assert!(rooms(&bob, &root, &[]).await.contains(&private));
        })
        .await;
    stage
        .row("who is in the space sees what is for its members", async {
            bob.join(&root, &[]).await;
            assert!(rooms(&bob, &root, &[]).await.contains(&members));
        })
        .await;
    stage
        .row("a private room shows nothing to strangers", async {
            let answer = try_look(&stage.company().await.person("eve").await, &private, &[]).await;
            assert!(answer.status.is_client_error(), "{answer}");
        })
        .await;
}

/// Rooms of another company in a space of ours, and theirs in ours.
async fn federated(stage: Stage) {
    let (alice, bob) = stage.partners().await;
    let root = space(&alice, "root").await;
    let (inner, far, private) = (
        space(&bob, "inner").await,
        room(&bob, "far").await,
        ruled(&bob, json!({ "join_rule": "invite" })).await,
    );
    put_into(&bob, &inner, &far, false).await;
    put_into(&bob, &inner, &private, false).await;
    let (_, there) = bob.user_id.split_once(':').expect("a server");
    let content = json!({ "via": [there] });
    alice.set_state(&root, "m.space.child", &inner, &content).await;
    let seen = eventually("the other company's space is seen", async || {
        let all = look(&alice, &root, &[]).await;
        (list(&all, "/rooms").len() >= 3).then_some(all)
    })
    .await;
    let seen = list(&seen, "/rooms");
    assert_eq!(set(seen, "room_id"), names([&root, &inner, &far]));
    let far = seen.iter().find(|room| room["room_id"] == far).expect("the room");
    assert_eq!((&far["name"], &far["num_joined_members"]), (&json!("far"), &json!(1)), "{far}");
}

/// A room for members of a space is seen by those who are in the space, before they join it.
async fn by_membership(stage: Stage, remote: bool) {
    let (alice, bob) = if remote { stage.partners().await } else { stage.colleagues().await };
    let (_, here) = alice.user_id.split_once(':').expect("a server");
    let hall = space(&alice, "hall").await;
    let chamber = ruled(&alice, members_of(&hall)).await;
    put_into(&alice, &hall, &chamber, false).await;
    stage
        .row("not before he is in the space", async {
            let seen = try_look(&bob, &hall, &[]).await;
            // His server may not know the space at all.
            if seen.status.is_success() {
                assert!(!set(list(&seen.json(), "/rooms"), "room_id").contains(&chamber));
            }
        })
        .await;
    stage
        .row("when he is in it", async {
            bob.join(&hall, &[here]).await;
            becomes(&alice, &hall, &bob, "join").await;
            eventually("he sees the chamber", async || {
                rooms(&bob, &hall, &[]).await.contains(&chamber).then_some(())
            })
            .await;
        })
        .await;
}

async fn allowed_rooms(stage: Stage) {
    let alice = stage.person().await;
    let hall = public_room(&alice).await;
    let (chamber, open) = (ruled(&alice, members_of(&hall)).await, room(&alice, "open").await);
    let summary = async |room: &str| {
        alice.call_at(Method::GET, &["_matrix", "client", "v1", "room_summary", room]).ok().await
    };
    stage
        .row("restricted room includes allowed_room_ids", async {
            let told = summary(&chamber).await;
            assert_eq!(text(&told, "/join_rule"), "restricted");
            assert_eq!(told["allowed_room_ids"], json!([hall]), "{told}");
            assert_eq!(text(&told, "/membership"), "join");
        })
        .await;
    stage
        .row("non-restricted room omits allowed_room_ids", async {
            let told = summary(&open).await;
            assert_eq!((&told["name"], told.get("allowed_room_ids")), (&json!("open"), None));
        })
        .await;
}

//! Trees that reach over several homeservers. Those of one are tested over HTTP.

use std::sync::Arc;

use model::room_version::RoomVersion;
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::{Map, Value, json};

use super::{HierarchyQuery, SpaceError, Summary};
use crate::rooms::{
    Rooms,
    create::{NewRoom, Preset},
    join::Joining,
    tests::{network::Network, new_room},
};

fn query(room_id: &OwnedRoomId) -> HierarchyQuery {
    HierarchyQuery {
        room_id: room_id.clone(),
        suggested_only: false,
        max_depth: 10,
        limit: 10,
        skip: 0,
    }
}

fn user(id: &str) -> OwnedUserId {
    id.try_into().unwrap()
}

async fn space(rooms: &Rooms, creator: &str, state: Vec<(&str, &str, Value)>) -> OwnedRoomId {
    let state = state.into_iter();
    let state = state.map(|(kind, key, content)| (kind.to_owned(), key.to_owned(), content));
    let mut creation_content = Map::new();
    creation_content.insert("type".to_owned(), "m.space".into());
    let new = NewRoom {
        creator: user(creator),
        creation_content,
        initial_state: state.collect(),
        ..new_room(RoomVersion::V11, Preset::PublicChat)
    };
    rooms.create(new).await.unwrap()
}

fn restricted_to(room: &OwnedRoomId) -> (&'static str, &'static str, Value) {
    let allow = json!([{ "type": "m.room_membership", "room_id": room }]);
    ("m.room.join_rules", "", json!({ "join_rule": "restricted", "allow": allow }))
}

fn ids(rooms: &[super::SpaceRoom]) -> Vec<&OwnedRoomId> {
    rooms.iter().map(|room| &room.summary.room_id).collect()
}

#[tokio::test]
async fn a_tree_goes_on_at_other_servers() {
    let network = Arc::new(Network::default());
    let (acme, hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let leaf = space(&hansa, "@bob:hansa.example", vec![]).await;
    let child = json!({ "via": ["hansa.example"] });
    let below =
        space(&hansa, "@bob:hansa.example", vec![("m.space.child", leaf.as_str(), child.clone())])
            .await;
    let root =
        space(&acme, "@alice:acme.example", vec![("m.space.child", below.as_str(), child)]).await;
    let alice = user("@alice:acme.example");
    let found = acme.hierarchy(&alice, &query(&root)).await.unwrap();
    assert_eq!(ids(&found.rooms), [&root, &below, &leaf]);
    assert_eq!(found.rooms[1].children_state[0]["state_key"], json!(leaf));
    let via = vec!["hansa.example".try_into().unwrap()];
    let (summary, _) = acme.room_summary(&alice, &leaf, via).await.unwrap();
    assert_eq!(summary.num_joined_members, 1);
}

#[tokio::test]
async fn a_restricted_room_of_another_server_is_for_who_may_join_it() {
    let network = Arc::new(Network::default());
    let (acme, hansa) = (network.add("acme.example"), network.add("hansa.example"));
    let root = space(&acme, "@alice:acme.example", vec![]).await;
    let join = Joining {
        user: user("@bob:hansa.example"),
        room_id: root.clone(),
        via: vec!["acme.example".try_into().unwrap()],
        content: Map::new(),
    };
    hansa.join(join).await.unwrap();
    let inner = space(&hansa, "@bob:hansa.example", vec![restricted_to(&root)]).await;
    let via = || vec!["hansa.example".try_into().unwrap()];
    let summary = acme.room_summary(&user("@alice:acme.example"), &inner, via()).await;
    assert_eq!(summary.unwrap().0.allowed_room_ids, [root]);
    let refused = acme.room_summary(&user("@carol:acme.example"), &inner, via()).await;
    assert!(matches!(refused, Err(SpaceError::NotShown)));
}

#[test]
fn a_room_whose_join_rule_another_server_does_not_tell_is_public() {
    let told = json!({
        "room_id": "!far:hansa.example", "num_joined_members": 1, "world_readable": false,
        "guest_can_join": false,
    });
    let summary: Summary = serde_json::from_value(told).unwrap();
    assert_eq!(summary.join_rule.as_deref(), Some("public"));
}

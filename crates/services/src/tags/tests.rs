use futures_util::future::try_join_all;
use ruma::{RoomId, room_id};
use serde_json::{Map, Value, json};

use crate::testing::World;

fn room() -> &'static RoomId {
    room_id!("!room:acme.example")
}

fn order(order: f64) -> Map<String, Value> {
    Map::from_iter([("order".to_owned(), json!(order))])
}

#[tokio::test]
async fn tags_are_set_replaced_and_removed() {
    let world = World::new();
    let alice = world.user("alice").await;
    world.know_room().await;
    let tags = &world.services.tags;
    assert_eq!(tags.of(&alice, room()).await.unwrap(), Map::new());
    tags.set(&alice, room(), "m.favourite", order(0.5)).await.unwrap();
    tags.set(&alice, room(), "u.work", Map::new()).await.unwrap();
    tags.set(&alice, room(), "m.favourite", order(0.25)).await.unwrap();
    let expected = json!({ "m.favourite": { "order": 0.25 }, "u.work": {} });
    assert_eq!(Value::Object(tags.of(&alice, room()).await.unwrap()), expected);
    tags.remove(&alice, room(), "u.work").await.unwrap();
    tags.remove(&alice, room(), "u.never").await.unwrap();
    let expected = json!({ "m.favourite": { "order": 0.25 } });
    assert_eq!(Value::Object(tags.of(&alice, room()).await.unwrap()), expected);
}

#[tokio::test]
async fn tags_that_are_set_at_the_same_time_are_all_kept() {
    let world = World::new();
    let alice = world.user("alice").await;
    world.know_room().await;
    let tags = &world.services.tags;
    let names: Vec<String> = (0..4).map(|n| format!("u.{n}")).collect();
    let set = names.iter().map(|name| tags.set(&alice, room(), name, Map::new()));
    try_join_all(set).await.unwrap();
    assert_eq!(tags.of(&alice, room()).await.unwrap().len(), 4);
}

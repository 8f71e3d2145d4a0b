//! What is pushed in transactions.

use super::*;

#[tokio::test]
async fn what_is_pushed_is_judged_event_by_event() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V11).await;
    let c = Company::open(&mut world, "c.example").await;
    c.join("carol", &room, "a.example").await.unwrap();
    let last = c.say("carol", &room, "carol's").await;
    b.sees(&room, &["carol's"]).await;
    a.sees(&room, &["carol's"]).await;
    let timeline = b.timeline(&room).await;
    let carols = timeline.iter().find(|pdu| pdu.event_id == last).unwrap();
    // Somebody else's event with one byte changed has another id, and no signature that holds.
    let mut forged: Value = serde_json::from_slice(carols.json()).unwrap();
    forged["depth"] = json!(1_000);
    let unsigned_room = json!({ "room_id": "!unknown:x.example", "type": "x" });
    let shapeless = json!({ "room_id": room, "type": 1 });
    // The world's clock stands still: without a difference two events would be the same.
    let good = b.say("bob", &room, "good").await;
    let timeline = b.timeline(&room).await;
    let good = timeline.iter().find(|pdu| pdu.event_id == good).unwrap();
    let good: Value = serde_json::from_slice(good.json()).unwrap();
    b.push("a.example", vec![forged, unsigned_room, shapeless, good]).await;
    a.sees(&room, &["carol's", "good"]).await;
    a.settles().await;
    assert_eq!(a.bodies(&room).await, ["carol's", "good"]);
}

#[tokio::test]
async fn a_transaction_counts_once() {
    let mut world = World::new();
    let (_a, b, _room) = pair(&mut world, RoomVersion::V11).await;
    let now = super::super::events::now(&b.home);
    let (to, client) = (server("a.example"), &b.home.client);
    let request = |origin: &str| {
        send_transaction_message::v1::Request::new("same".into(), server(origin), now)
    };
    let first = client.insist(&to, request("b.example"), TIME).await.unwrap();
    let again = client.insist(&to, request("b.example"), TIME).await.unwrap();
    assert_eq!(first.pdus.len(), again.pdus.len());
    let lying = client.insist(&to, request("c.example"), TIME).await.unwrap_err();
    assert_eq!(status(&lying), 403);
    let many = send_transaction_message::v1::Request {
        pdus: vec![to_raw_value(&json!({})).unwrap(); 51],
        ..request("b.example")
    };
    assert_eq!(status(&client.insist(&to, many, TIME).await.unwrap_err()), 400);
}

use serde_json::{Value, json};

use super::*;
use crate::room_world::{World, reader};

fn field(events: &[Box<RawValue>], pointer: &str) -> Vec<String> {
    let mut values: Vec<String> = events
        .iter()
        .map(|event| {
            let event: Value = serde_json::from_str(event.get()).unwrap();
            event.pointer(pointer).unwrap().as_str().unwrap().to_owned()
        })
        .collect();
    values.sort();
    values
}

#[tokio::test]
async fn who_has_left_sees_the_state_of_his_leave() {
    let world = World::new();
    let room = world.room("alice", "shared").await;
    let reads = StateReads::new(world.context.clone());
    let name = |name: &str| json!({ "name": name });
    world.state(&room, "alice", "m.room.name", "", name("then")).await;
    world.member(&room, "bob", "join").await;
    world.member(&room, "bob", "leave").await;
    world.state(&room, "alice", "m.room.name", "", name("now")).await;
    for (user, expected) in [("alice", "now"), ("bob", "then")] {
        let place = ("m.room.name".to_owned(), String::new());
        let format = StateFormat::Content;
        let content = reads.state_event(reader(user), room.id.clone(), place, format).await;
        let content: Value = serde_json::from_str(content.unwrap().unwrap().get()).unwrap();
        assert_eq!(content["name"], expected);
        let state = reads.state(reader(user), room.id.clone()).await.unwrap();
        assert_eq!(state.len(), 5);
    }
    let refused = reads.state(reader("mallory"), room.id.clone()).await;
    assert!(matches!(refused, Err(ReadError::NotAllowed)));
}

#[tokio::test]
async fn members_are_chosen_by_membership_and_by_time() {
    let world = World::new();
    let room = world.room("alice", "shared").await;
    let reads = StateReads::new(world.context.clone());
    let now = world.context.log.position();
    let before = SyncToken { log: now, ..SyncToken::default() }.to_string();
    world.member(&room, "bob", "join").await;
    world.member(&room, "carol", "invite").await;
    world.member(&room, "bob", "leave").await;
    let all =
        MembersQuery { room_id: room.id.clone(), at: None, membership: None, not_membership: None };
    let ask = |query: MembersQuery| {
        let reads = reads.clone();
        async move { field(&reads.members(reader("alice"), query).await.unwrap(), "/state_key") }
    };
    let (alice, bob, carol) = ("@alice:acme.example", "@bob:acme.example", "@carol:acme.example");
    assert_eq!(ask(all.clone()).await, [alice, bob, carol]);
    let joined = MembersQuery { membership: Some(Membership::Join), ..all.clone() };
    assert_eq!(ask(joined).await, [alice]);
    let not_left = MembersQuery { not_membership: Some(Membership::Leave), ..all.clone() };
    assert_eq!(ask(not_left).await, [alice, carol]);
    let then = MembersQuery { at: Some(before), ..all.clone() };
    assert_eq!(ask(then).await, [alice]);
    let inside = token::format(store::events::Order(i64::try_from(now).unwrap(), 0));
    let there = MembersQuery { at: Some(inside), ..all };
    assert_eq!(ask(there).await, [alice]);
}

#[tokio::test]
async fn joined_members_and_joined_rooms_are_only_the_joined_ones() {
    let world = World::new();
    let room = world.room("alice", "shared").await;
    world.room("bob", "shared").await;
    let reads = StateReads::new(world.context.clone());
    let content = json!({ "membership": "join", "displayname": "Alice" });
    world.state(&room, "alice", "m.room.member", "@alice:acme.example", content).await;
    world.member(&room, "bob", "invite").await;
    let joined = reads.joined_members(reader("alice"), room.id.clone()).await.unwrap();
    let face = Face { avatar_url: None, display_name: Some("Alice".to_owned()) };
    assert_eq!(joined, BTreeMap::from([("@alice:acme.example".to_owned(), face)]));
    assert_eq!(reads.joined_rooms("alice").await.unwrap(), [room.id.as_str()]);
}

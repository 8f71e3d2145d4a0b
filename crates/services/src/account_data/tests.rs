use model::RoomNumber;
use ruma::{RoomId, room_id};
use store::{account_data, log::Change, rooms};

use super::{AccountDataError, CONTENT_BYTES_MAX};
use crate::{sessions::Caller, testing::World};

fn room() -> &'static RoomId {
    room_id!("!room:acme.example")
}

impl World {
    /// Makes [`room`] known by its number alone: account data asks for no more.
    pub async fn know_room(&self) {
        let context = &self.services.context;
        let mut batch = context.batch();
        rooms::put_number(&mut batch, room(), RoomNumber(5));
        context.log.commit(batch, vec![Change::Nothing]).await.unwrap();
    }

    async fn set(&self, caller: &Caller, room: Option<&RoomId>, kind: &str, content: &str) {
        self.services.account_data.set(caller, room, kind, content).await.unwrap();
    }

    fn changed_since(&self, since: u64) -> Vec<(Option<u64>, String, String)> {
        let rows = self.services.context.store.snapshot();
        let items = account_data::changed_since(&rows, "alice", since).unwrap();
        let item = |item: account_data::Item| {
            let content = String::from_utf8(item.content.to_vec()).unwrap();
            (item.room.map(|room| room.0), item.kind, content)
        };
        items.into_iter().map(item).collect()
    }
}

#[tokio::test]
async fn what_was_set_is_read_by_its_owner_alone() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    world.know_room().await;
    world.set(&alice, None, "a.b", r#"{"n":1}"#).await;
    world.set(&alice, Some(room()), "a.b", r#"{"n":2.5}"#).await;
    let get = async |caller, room, kind| {
        let content = world.services.account_data.get(caller, room, kind).await.unwrap();
        content.map(|content| String::from_utf8(content.to_vec()).unwrap())
    };
    assert_eq!(get(&alice, None, "a.b").await.as_deref(), Some(r#"{"n":1}"#));
    assert_eq!(get(&alice, Some(room()), "a.b").await.as_deref(), Some(r#"{"n":2.5}"#));
    assert_eq!(get(&alice, None, "a").await, None);
    assert_eq!(get(&bob, None, "a.b").await, None);
    assert_eq!(get(&bob, Some(room()), "a.b").await, None);
}

#[tokio::test]
async fn what_changed_is_found_once_by_its_last_position() {
    let world = World::new();
    let alice = world.user("alice").await;
    world.know_room().await;
    let log = &world.services.context.log;
    let start = log.position();
    world.set(&alice, None, "one", "{}").await;
    world.set(&alice, Some(room()), "two", r#"{"n":1}"#).await;
    let middle = log.position();
    world.set(&alice, Some(room()), "two", r#"{"n":2}"#).await;
    world.set(&alice, None, "three", "{}").await;
    let two = (Some(5), "two".to_owned(), r#"{"n":2}"#.to_owned());
    let global = |kind: &str| (None, kind.to_owned(), "{}".to_owned());
    assert_eq!(world.changed_since(start), [global("one"), two.clone(), global("three")]);
    assert_eq!(world.changed_since(middle), [two, global("three")]);
    assert_eq!(world.changed_since(log.position()), []);
    let from_the_start = world.changed_since(0);
    assert_eq!(from_the_start[0].1, "m.push_rules", "from the registration");
}

#[tokio::test]
async fn what_the_server_controls_is_not_for_clients() {
    let world = World::new();
    let alice = world.user("alice").await;
    for kind in ["m.fully_read", "m.push_rules"] {
        let answer = world.services.account_data.set(&alice, None, kind, "{}").await;
        assert!(matches!(answer, Err(AccountDataError::ServerControlled)), "{kind}");
    }
}

#[tokio::test]
async fn content_is_an_object_that_fits_into_a_row() {
    let world = World::new();
    let alice = world.user("alice").await;
    let set = |content: String| {
        let (data, alice) = (&world.services.account_data, &alice);
        async move { data.set(alice, None, "a", &content).await }
    };
    for content in ["[]", "1", "null", "{", ""] {
        let answer = set(content.to_owned()).await;
        assert!(matches!(answer, Err(AccountDataError::NotAnObject)), "{content}");
    }
    let fill = |bytes: usize| format!(r#"{{"":"{}"}}"#, "x".repeat(bytes - 7));
    set(fill(CONTENT_BYTES_MAX)).await.unwrap();
    assert!(matches!(set(fill(CONTENT_BYTES_MAX + 1)).await, Err(AccountDataError::TooLarge)));
    let unknown = Some(room_id!("!other:acme.example"));
    let answer = world.services.account_data.set(&alice, unknown, "a", "{}").await;
    assert!(matches!(answer, Err(AccountDataError::UnknownRoom)));
}

use store::pushers::PusherId;

use super::{PUSHERS_MAX, PusherError};
use crate::{sessions::Caller, testing::World};

fn id(pushkey: &str) -> PusherId {
    PusherId { app_id: "app".to_owned(), pushkey: pushkey.to_owned() }
}

impl World {
    async fn push(&self, caller: &Caller, pushkey: &str, shared: bool) -> Result<(), PusherError> {
        self.services.pushers.set(caller, id(pushkey), "{}".to_owned(), shared).await
    }

    async fn pushers(&self, localpart: &str) -> usize {
        self.services.pushers.of(localpart).await.unwrap().len()
    }
}

#[tokio::test]
async fn a_push_key_moves_to_the_user_who_logged_in_last() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    world.push(&alice, "key", false).await.unwrap();
    world.push(&bob, "key", true).await.unwrap();
    assert_eq!((world.pushers("alice").await, world.pushers("bob").await), (1, 1));
    world.push(&bob, "key", false).await.unwrap();
    assert_eq!((world.pushers("alice").await, world.pushers("bob").await), (0, 1));
    world.services.pushers.remove("bob", id("key")).await.unwrap();
    assert_eq!(world.pushers("bob").await, 0);
}

#[tokio::test]
async fn pushers_are_few_and_short() {
    let world = World::new();
    let alice = world.user("alice").await;
    let long = world.push(&alice, &"k".repeat(513), false).await;
    assert!(matches!(long, Err(PusherError::TooLong)));
    for n in 0..PUSHERS_MAX {
        world.push(&alice, &n.to_string(), false).await.unwrap();
    }
    assert!(matches!(world.push(&alice, "more", false).await, Err(PusherError::TooMany)));
    world.push(&alice, "0", false).await.expect("an old one may be replaced");
}

use ruma::user_id;
use serde_json::{Value, json};

use super::ProfileError;
use crate::{sessions::Caller, testing::World};

impl World {
    async fn profile(&self) -> Value {
        let user = user_id!("@alice:acme.example");
        json!(self.services.profiles.get(user).await.unwrap().unwrap())
    }

    async fn set_field(
        &self,
        caller: &Caller,
        name: &str,
        value: Value,
    ) -> Result<(), ProfileError> {
        self.services.profiles.set(caller, name, Some(&value)).await
    }
}

#[tokio::test]
async fn fields_are_set_and_removed() {
    let world = World::new();
    let alice = world.user("alice").await;
    assert_eq!(world.profile().await, json!({}));
    world.set_field(&alice, "displayname", json!("Alice")).await.unwrap();
    world.set_field(&alice, "m.tz", json!("Europe/Tallinn")).await.unwrap();
    world.set_field(&alice, "example.n", json!({ "n": 2.5 })).await.unwrap();
    let whole =
        json!({ "displayname": "Alice", "m.tz": "Europe/Tallinn", "example.n": { "n": 2.5 } });
    assert_eq!(world.profile().await, whole);
    world.services.profiles.set(&alice, "m.tz", None).await.unwrap();
    world.set_field(&alice, "displayname", json!("")).await.unwrap();
    world.services.profiles.set(&alice, "example.n", None).await.unwrap();
    assert_eq!(world.profile().await, json!({}));
}

#[tokio::test]
async fn only_local_users_who_exist_have_a_profile_here() {
    let world = World::new();
    world.user("alice").await;
    for user in [user_id!("@bob:acme.example"), user_id!("@alice:elsewhere.example")] {
        assert_eq!(world.services.profiles.get(user).await.unwrap(), None);
    }
}

#[tokio::test]
async fn names_and_values_are_checked() {
    let world = World::new();
    let alice = world.user("alice").await;
    for name in ["", "Name", ".a", "1a", "a b", "ä"] {
        let answer = world.set_field(&alice, name, json!(1)).await;
        assert!(matches!(answer, Err(ProfileError::InvalidName)), "{name:?}");
    }
    let answer = world.set_field(&alice, &"a".repeat(256), json!(1)).await;
    assert!(matches!(answer, Err(ProfileError::LongName)));
    let values = [("displayname", json!(1)), ("displayname", json!("x".repeat(257)))];
    for (name, value) in values.into_iter().chain([("avatar_url", json!({}))]) {
        let answer = world.set_field(&alice, name, value).await;
        assert!(matches!(answer, Err(ProfileError::InvalidValue(_))), "{name}");
    }
}

#[tokio::test]
async fn a_profile_is_under_64_kib() {
    let world = World::new();
    let alice = world.user("alice").await;
    let half = || json!("x".repeat(32 * 1024));
    world.set_field(&alice, "a.one", half()).await.unwrap();
    let answer = world.set_field(&alice, "a.two", half()).await;
    assert!(matches!(answer, Err(ProfileError::TooLarge)));
    world.set_field(&alice, "a.one", json!(null)).await.expect("null is a value");
    world.set_field(&alice, "a.two", half()).await.unwrap();
}

#[tokio::test]
async fn an_erased_account_shows_nothing_any_more() {
    let world = World::new();
    let alice = world.user("alice").await;
    world.set_field(&alice, "displayname", json!("Alice")).await.unwrap();
    world.services.accounts.deactivate(&alice.user_id, true).await.unwrap();
    assert_eq!(world.profile().await, json!({}));
    let answer = world.set_field(&alice, "displayname", json!("Alice")).await;
    assert!(matches!(answer, Err(ProfileError::UnknownUser)));
}

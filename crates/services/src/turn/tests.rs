use super::{Turn, TurnSettings};
use crate::testing::World;

fn settings(shared_secret: &str) -> TurnSettings {
    let uris = vec!["turn:turn.acme.example".to_owned()];
    TurnSettings { uris, shared_secret: shared_secret.to_owned(), lifetime_s: 600 }
}

#[tokio::test]
async fn the_user_name_says_until_when_and_the_password_proves_it() {
    let world = World::new();
    let alice = world.user("alice").await;
    let turn = Turn::new(world.services.context.clone(), settings("secret"));
    let credentials = turn.credentials(&alice).unwrap();
    assert_eq!(credentials.username, "1767226200:@alice:acme.example");
    // printf 1767226200:@alice:acme.example | openssl dgst -sha1 -hmac secret -binary | base64
    assert_eq!(credentials.password, "ZBqKGJKZeBApue3sUVLk+s29Ads=");
}

#[tokio::test]
async fn without_a_secret_there_are_no_credentials() {
    let world = World::new();
    let alice = world.user("alice").await;
    let turn = Turn::new(world.services.context.clone(), settings(""));
    assert_eq!(turn.credentials(&alice), None);
}

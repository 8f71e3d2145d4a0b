use super::*;
use crate::testing::World;

/// A homeserver whose identity is stored.
async fn world() -> World {
    let world = World::new();
    let context = &world.services.context;
    let key = context.signing_key.current();
    let mut batch = context.batch();
    let identity = Identity {
        server_name: context.server_name.to_string(),
        signing_key: SigningSeed { version: key.version().to_owned(), seed: *key.seed() },
        old_keys: Vec::new(),
        state_salt: context.state_salt,
        created_ms: 0,
    };
    put_identity(&mut batch, &identity);
    context.log.commit(batch, vec![Change::Nothing]).await.unwrap();
    world
}

#[tokio::test]
async fn a_new_key_signs_at_once_and_the_replaced_one_is_kept_to_verify() {
    let world = world().await;
    let context = &world.services.context;
    let before = context.signing_key.current();
    let new = rotate(context).await.unwrap();
    assert_eq!(context.signing_key.current().key_id(), new.key_id());
    assert_ne!(new.public_key(), before.public_key());
    let old = old_keys(context).await.unwrap();
    let kept: Vec<_> = old.iter().map(|key| (key.version.as_str(), key.public)).collect();
    assert_eq!(kept, [(before.version(), before.public_key())]);
}

#[tokio::test]
async fn of_two_rotations_at_once_no_key_is_lost() {
    let world = world().await;
    let context = &world.services.context;
    let before = context.signing_key.current();
    let (one, two) = tokio::join!(rotate(context), rotate(context));
    let (one, two) = (one.unwrap(), two.unwrap());
    let old = old_keys(context).await.unwrap();
    let mut known: Vec<_> = old.iter().map(|key| key.public).collect();
    known.push(context.signing_key.current().public_key());
    for key in [before, one, two] {
        assert!(known.contains(&key.public_key()));
    }
}

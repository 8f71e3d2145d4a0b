use super::LIFETIME;
use crate::testing::World;

#[tokio::test]
async fn a_token_names_its_user_for_a_while() {
    let world = World::new();
    let session = world.register("alice").await;
    let caller = world.services.sessions.authenticate(&session.access_token).await.unwrap();
    let openid = &world.services.openid;
    let (token, _) = openid.issue(&caller).await.unwrap();
    assert_eq!(openid.user_of(&token).await.unwrap(), Some(caller.user_id.clone()));
    assert_eq!(openid.user_of(&session.access_token).await.unwrap(), None);
    assert!(world.services.sessions.authenticate(&token).await.is_err());
    world.clock.advance(LIFETIME);
    assert_eq!(openid.user_of(&token).await.unwrap(), None);
}

use super::{FILTERS_MAX, FilterError};
use crate::testing::World;

#[tokio::test]
async fn the_same_filter_has_the_same_id_and_is_its_owners() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let filters = &world.services.filters;
    let id = filters.put(&alice, r#"{"room":{}}"#).await.unwrap();
    let position = world.services.context.log.position();
    assert_eq!(filters.put(&alice, r#"{"room":{}}"#).await.unwrap(), id);
    assert_eq!(world.services.context.log.position(), position, "nothing was written");
    assert_ne!(filters.put(&alice, "{}").await.unwrap(), id);
    assert_eq!(&filters.get(&alice, &id).await.unwrap().unwrap()[..], br#"{"room":{}}"#);
    assert_eq!(filters.get(&bob, &id).await.unwrap(), None);
    assert_eq!(filters.get(&alice, "").await.unwrap(), None);
}

#[tokio::test]
async fn filters_do_not_fill_the_disk() {
    let world = World::new();
    let alice = world.user("alice").await;
    for n in 0..FILTERS_MAX {
        world.services.filters.put(&alice, &n.to_string()).await.unwrap();
    }
    let one_more = world.services.filters.put(&alice, "{}").await;
    assert!(matches!(one_more, Err(FilterError::TooMany)));
    assert!(world.services.filters.put(&alice, "0").await.is_ok(), "it is there already");
}

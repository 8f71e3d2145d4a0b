use store::pushers::PusherId;

use super::DeviceError;
use crate::{sessions::NewSession, testing::World};

#[tokio::test]
async fn a_device_is_listed_under_the_name_that_it_was_given() {
    let world = World::new();
    let alice = world.user("alice").await;
    let new = NewSession {
        device_id: Some("PHONE".into()),
        display_name: Some("Phone".to_owned()),
        ..NewSession::default()
    };
    world.services.sessions.open("alice", new).await.unwrap();
    let devices = &world.services.devices;
    let name = async || devices.get("alice", "PHONE").await.unwrap().unwrap().display_name;
    assert_eq!(name().await.as_deref(), Some("Phone"));
    devices.rename(&alice, "PHONE", Some("Old phone".to_owned())).await.unwrap();
    assert_eq!(name().await.as_deref(), Some("Old phone"));
    assert_eq!(devices.list("alice").await.unwrap().len(), 2);
    let long = devices.rename(&alice, "PHONE", Some("x".repeat(256))).await;
    assert!(matches!(long, Err(DeviceError::LongName)));
}

/// S51.
#[tokio::test]
async fn the_devices_of_others_are_out_of_reach() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let devices = &world.services.devices;
    assert_eq!(devices.get("bob", alice.device()).await.unwrap(), None);
    let renamed = devices.rename(&bob, alice.device(), Some("mine".to_owned())).await;
    assert!(matches!(renamed, Err(DeviceError::UnknownDevice)));
    devices.remove(&bob, vec![alice.device().to_owned()]).await.unwrap();
    assert_eq!(devices.list("alice").await.unwrap().len(), 1);
}

#[tokio::test]
async fn with_a_device_go_its_session_and_its_pushers() {
    let world = World::new();
    let session = world.register("alice").await;
    let phone = world.services.sessions.authenticate(&session.access_token).await.unwrap();
    let other = world.services.sessions.open("alice", NewSession::default()).await.unwrap();
    let other = world.services.sessions.authenticate(&other.access_token).await.unwrap();
    for (caller, pushkey) in [(&phone, "phone"), (&other, "other")] {
        let id = PusherId { app_id: "app".to_owned(), pushkey: pushkey.to_owned() };
        world.services.pushers.set(caller, id, "{}".to_owned(), true).await.unwrap();
    }
    world.services.devices.remove(&other, vec![phone.device().to_owned()]).await.unwrap();
    assert!(world.services.sessions.authenticate(&session.access_token).await.is_err());
    let left = world.services.pushers.of("alice").await.unwrap();
    assert_eq!(left.iter().map(|(id, _)| &*id.pushkey).collect::<Vec<_>>(), ["other"]);
}

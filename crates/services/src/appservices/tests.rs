use std::sync::Arc;

use model::namespaces::{Namespace, Namespaces};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use super::{ActError, Appservice, Registration, Role};
use crate::{
    accounts::{NameError, NewAccount, RegisterError, RegistrationPolicy},
    sessions::{Caller, NewSession},
    testing::World,
};

fn registration(id: &str, exclusive: bool, users: &str) -> Registration {
    let users = vec![Namespace::new(exclusive, users).unwrap()];
    Registration {
        id: id.to_owned(),
        as_token: format!("token of {id}"),
        sender: format!("{id}_bot"),
        namespaces: Namespaces { users, ..Namespaces::default() },
        rate_limited: true,
    }
}

/// A world with an appservice whose users are its own, and one that may act for everybody.
fn world() -> World {
    let appservices = vec![registration("irc", true, "@_irc_.*"), registration("any", false, ".*")];
    World::with_appservices(RegistrationPolicy::default(), appservices)
}

fn user(localpart: &str) -> OwnedUserId {
    UserId::parse(format!("@{localpart}:acme.example")).unwrap()
}

impl World {
    fn appservice(&self, id: &str) -> Arc<Appservice> {
        self.services.actors.list().with_token(&format!("token of {id}")).unwrap()
    }

    async fn act(&self, id: &str, localpart: &str) -> Result<Caller, ActError> {
        let role = Role { user: Some(user(localpart)), device: None };
        self.services.actors.act(&self.appservice(id), role).await
    }

    async fn make(&self, id: &str, username: &str) -> Result<(), ActError> {
        let appservice = self.appservice(id);
        let made = self.services.actors.register(&appservice, username.to_owned(), None).await;
        made.map(|_| ())
    }
}

#[tokio::test]
async fn only_the_token_of_a_registration_is_an_appservices() {
    let world = world();
    let list = world.services.actors.list();
    for token in ["", "token of", "token of nobody", "irc"] {
        assert_eq!(list.with_token(token), None, "{token}");
    }
}

#[tokio::test]
async fn the_appservices_own_user_is_there_when_it_is_needed() {
    let world = world();
    let irc = world.appservice("irc");
    for _ in 0..2 {
        let caller = world.services.actors.act(&irc, Role::default()).await.unwrap();
        assert_eq!(caller.user_id, "@irc_bot:acme.example");
        assert!(caller.unlimited);
        assert!(!caller.admin);
    }
    let any = world.appservice("any");
    let act = || world.services.actors.act(&any, Role::default());
    let (one, other) = futures_util::join!(act(), act());
    assert_eq!(one.unwrap(), other.unwrap());
}

#[tokio::test]
async fn it_acts_for_users_of_its_namespaces_that_are_registered() {
    let world = world();
    world.register("alice").await;
    assert!(matches!(world.act("irc", "alice").await, Err(ActError::NotCovered)));
    assert!(matches!(world.act("irc", "_irc_bob").await, Err(ActError::NoAccount)));
    world.make("irc", "_irc_bob").await.unwrap();
    let caller = world.act("irc", "_irc_bob").await.unwrap();
    assert_eq!((caller.user_id, caller.unlimited), (user("_irc_bob"), false));
    assert!(world.act("any", "alice").await.is_ok());
    let elsewhere = UserId::parse("@_irc_bob:other.example").unwrap();
    let role = Role { user: Some(elsewhere), device: None };
    let refused = world.services.actors.act(&world.appservice("irc"), role).await;
    assert!(matches!(refused, Err(ActError::NotCovered)));
}

#[tokio::test]
async fn an_administrators_rights_are_not_lent_to_an_appservice() {
    let world = world();
    let alice = world.user("alice").await;
    world.services.accounts.set_admin(&alice.user_id, true).await.unwrap();
    assert!(!world.act("any", "alice").await.unwrap().admin);
    world.services.accounts.set_locked(&alice.user_id, true).await.unwrap();
    assert!(world.act("any", "alice").await.unwrap().locked);
    world.services.accounts.deactivate(&alice.user_id, false).await.unwrap();
    assert!(matches!(world.act("any", "alice").await, Err(ActError::NoAccount)));
}

#[tokio::test]
async fn it_names_only_devices_that_the_user_has() {
    let world = world();
    let session = world.register("alice").await;
    let any = world.appservice("any");
    let role = |device: OwnedDeviceId| Role { user: Some(user("alice")), device: Some(device) };
    let caller = world.services.actors.act(&any, role(session.device_id.clone())).await.unwrap();
    assert_eq!(caller.device_id, Some(session.device_id));
    let refused = world.services.actors.act(&any, role("NONE".into())).await;
    assert!(matches!(refused, Err(ActError::UnknownDevice)));
}

#[tokio::test]
async fn an_exclusive_namespace_is_closed_to_everybody_else() {
    let world = world();
    let reserved = |made: Result<(), RegisterError>| {
        matches!(made, Err(RegisterError::Name(NameError::Reserved)))
    };
    for name in ["_irc_bob", "_IRC_bob", "irc_bot", "any_bot"] {
        let new = NewAccount { username: Some(name.to_owned()), ..NewAccount::default() };
        assert!(reserved(world.services.accounts.register(new).await.map(|_| ())), "{name}");
        assert!(reserved(world.services.accounts.check_available(name).await), "{name}");
    }
    // Also to another appservice that would cover it, and beyond its own namespaces.
    for (id, name) in [("any", "_irc_bob"), ("any", "irc_bot"), ("irc", "alice")] {
        match world.make(id, name).await {
            Err(ActError::Register(error)) => assert!(reserved(Err(error)), "{id} {name}"),
            other => panic!("{id} {name}: {other:?}"),
        }
    }
    world.make("irc", "_irc_bob").await.unwrap();
    world.make("any", "alice").await.unwrap();
}

#[tokio::test]
async fn its_users_log_in_without_a_password() {
    let world = world();
    world.make("irc", "_irc_bob").await.unwrap();
    world.register("alice").await;
    let irc = world.appservice("irc");
    let actors = &world.services.actors;
    for name in ["_irc_bob", "@_irc_bob:acme.example", "_IRC_bob"] {
        let session = actors.log_in(&irc, name, NewSession::default()).await.unwrap();
        let caller = world.services.sessions.authenticate(&session.access_token).await.unwrap();
        assert_eq!((caller.user_id, caller.appservice), (user("_irc_bob"), None), "{name}");
    }
    for name in ["alice", "@_irc_bob:other.example"] {
        let refused = actors.log_in(&irc, name, NewSession::default()).await;
        assert!(matches!(refused, Err(ActError::NotCovered)), "{name}");
    }
    let nobody = actors.log_in(&irc, "_irc_eve", NewSession::default()).await;
    assert!(matches!(nobody, Err(ActError::Login(_))));
}

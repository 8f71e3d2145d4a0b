use futures_util::future::join_all;
use kv::Failure;

use super::{NameError, NewAccount, RegisterError, RegistrationPolicy};
use crate::{
    login::LoginError,
    sessions::{AuthenticateError, NewSession},
    testing::{PASSWORD, World},
};

fn named(username: &str) -> NewAccount {
    NewAccount {
        username: Some(username.to_owned()),
        password: Some(PASSWORD.to_owned()),
        ..NewAccount::default()
    }
}

impl World {
    async fn name_error(&self, username: &str) -> Option<NameError> {
        match self.services.accounts.register(named(username)).await {
            Err(RegisterError::Name(error)) => Some(error),
            Ok(_) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// S37.
#[tokio::test]
async fn a_name_is_lower_case_letters_digits_and_few_signs() {
    let world = World::new();
    for name in ["alice", "a.b_c=d-e/f+9", "007"] {
        assert_eq!(world.name_error(name).await, None, "{name}");
    }
    let long = "x".repeat(255 - "@:acme.example".len() + 1);
    for name in ["", "a b", "a'b", "a:b", "@a", "å", "аlice", "a\0b", "a\u{200b}", &long] {
        assert_eq!(world.name_error(name).await, Some(NameError::Invalid), "{name}");
    }
}

/// S37.
#[tokio::test]
async fn names_that_differ_in_case_are_the_same_name() {
    let world = World::new();
    let registered = world.services.accounts.register(named("AliCe")).await.unwrap();
    assert_eq!(registered.user_id, "@alice:acme.example");
    assert_eq!(world.name_error("alice").await, Some(NameError::InUse));
}

/// S37.
#[tokio::test]
async fn of_registrations_at_the_same_time_one_wins() {
    let world = World::new();
    let attempts = join_all((0..8).map(|_| world.name_error("alice"))).await;
    assert_eq!(attempts.iter().filter(|error| error.is_none()).count(), 1);
    assert_eq!(attempts.iter().flatten().filter(|error| **error == NameError::InUse).count(), 7);
}

#[tokio::test]
async fn a_reserved_name_is_for_administrators() {
    let reserved = vec!["support".to_owned()];
    let world = World::with(RegistrationPolicy { reserved, ..RegistrationPolicy::default() });
    assert_eq!(world.name_error("Support").await, Some(NameError::Reserved));
    let by_admin = NewAccount { by_admin: true, ..named("support") };
    assert!(world.services.accounts.register(by_admin).await.is_ok());
}

#[tokio::test]
async fn a_password_is_neither_short_nor_endless() {
    let world = World::new();
    let with =
        |password: &str| NewAccount { password: Some(password.to_owned()), ..named("alice") };
    let accounts = &world.services.accounts;
    let short = accounts.register(with("1234567")).await;
    assert!(matches!(short, Err(RegisterError::WeakPassword { length_min: 8 })));
    let long = accounts.register(with(&"x".repeat(513))).await;
    assert!(matches!(long, Err(RegisterError::LongPassword)));
    assert!(accounts.register(with("übers3kr1t")).await.is_ok());
}

#[tokio::test]
async fn a_registration_that_could_not_be_written_leaves_nothing() {
    let world = World::new();
    world.engine.fail_next(Failure::Unavailable);
    assert!(world.services.accounts.register(named("alice")).await.is_err());
    assert_eq!(world.name_error("alice").await, None);
}

/// S33.
#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let world = World::new();
    let caller = world.user("alice").await;
    let other = world.services.sessions.open("alice", NewSession::default()).await.unwrap();
    let accounts = &world.services.accounts;
    accounts.change_password(&caller, "a new password", false).await.unwrap();
    assert!(world.services.sessions.authenticate(&other.access_token).await.is_ok());
    accounts.change_password(&caller, "a newer password", true).await.unwrap();
    let gone = world.services.sessions.authenticate(&other.access_token).await;
    assert!(matches!(gone, Err(AuthenticateError::UnknownToken)));
    assert_eq!(world.services.devices.list("alice").await.unwrap().len(), 1);
    assert!(accounts.has_password("alice", "a newer password").await.unwrap());
    assert!(!accounts.has_password("alice", PASSWORD).await.unwrap());
}

/// S33.
#[tokio::test]
async fn a_deactivated_account_has_no_way_in_and_keeps_its_name() {
    let world = World::new();
    let session = world.register("alice").await;
    let caller = world.services.sessions.authenticate(&session.access_token).await.unwrap();
    let (token, _) = world.services.login.issue_token(&caller).await.unwrap();
    world.services.accounts.deactivate(&caller.user_id, false).await.unwrap();

    let by_token = world.services.sessions.authenticate(&session.access_token).await;
    assert!(matches!(by_token, Err(AuthenticateError::UnknownToken)));
    let login = &world.services.login;
    let by_password = login.with_password("alice", PASSWORD, NewSession::default()).await;
    assert!(matches!(by_password, Err(LoginError::Deactivated)));
    let by_login_token = login.with_token(&token, NewSession::default()).await;
    assert!(matches!(by_login_token, Err(LoginError::Deactivated)));
    assert!(world.services.sessions.open("alice", NewSession::default()).await.is_err());
    assert_eq!(world.name_error("alice").await, Some(NameError::InUse));
}

/// S33.
#[tokio::test]
async fn a_lock_is_felt_by_the_next_request_and_keeps_the_session() {
    let world = World::new();
    let session = world.register("alice").await;
    let sessions = &world.services.sessions;
    let caller = sessions.authenticate(&session.access_token).await.unwrap();
    world.services.accounts.set_locked(&caller.user_id, true).await.unwrap();
    assert!(sessions.authenticate(&session.access_token).await.unwrap().locked);
    world.services.accounts.set_locked(&caller.user_id, false).await.unwrap();
    assert_eq!(sessions.authenticate(&session.access_token).await.unwrap(), caller);
}

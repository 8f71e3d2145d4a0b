use std::time::Duration;

use super::{LoginError, NewSession};
use crate::testing::{PASSWORD, World};

impl World {
    async fn log_in(&self, user: &str, password: &str) -> Result<String, LoginError> {
        let login = &self.services.login;
        let session = login.with_password(user, password, NewSession::default()).await?;
        Ok(session.user_id.to_string())
    }
}

#[tokio::test]
async fn a_user_logs_in_by_localpart_or_full_id_in_any_case() {
    let world = World::new();
    world.register("alice").await;
    for user in ["alice", "@alice:acme.example", "ALICE", "@Alice:acme.example"] {
        let user_id = world.log_in(user, PASSWORD).await.unwrap();
        assert_eq!(user_id, "@alice:acme.example", "{user}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let world = World::new();
    world.register("alice").await;
    let wrong = [
        ("alice", "wrong password"),
        ("alice", ""),
        ("bob", PASSWORD),
        ("@alice:elsewhere.example", PASSWORD),
        ("@", PASSWORD),
        ("", ""),
    ];
    for (user, password) in wrong {
        let answer = world.log_in(user, password).await;
        assert!(matches!(answer, Err(LoginError::WrongCredentials)), "{user:?} {password:?}");
    }
}

#[tokio::test]
async fn a_locked_user_hears_of_the_lock_only_with_his_password() {
    let world = World::new();
    let alice = world.user("alice").await;
    world.services.accounts.set_locked(&alice.user_id, true).await.unwrap();
    assert!(matches!(world.log_in("alice", PASSWORD).await, Err(LoginError::Locked)));
    assert!(matches!(world.log_in("alice", "wrong").await, Err(LoginError::WrongCredentials)));
}

#[tokio::test]
async fn a_login_token_works_once_and_soon() {
    let world = World::new();
    let caller = world.user("alice").await;
    let login = &world.services.login;
    let (token, _) = login.issue_token(&caller).await.unwrap();
    let session = login.with_token(&token, NewSession::default()).await.unwrap();
    assert_ne!(Some(session.device_id), caller.device_id);
    let again = login.with_token(&token, NewSession::default()).await;
    assert!(matches!(again, Err(LoginError::WrongCredentials)));

    let (late, lifetime) = login.issue_token(&caller).await.unwrap();
    world.clock.advance(lifetime + Duration::from_millis(1));
    let late = login.with_token(&late, NewSession::default()).await;
    assert!(matches!(late, Err(LoginError::WrongCredentials)));
    let access = login.with_token(&session.access_token, NewSession::default()).await;
    assert!(matches!(access, Err(LoginError::WrongCredentials)));
}

use std::time::Duration;

use store::tokens;

use super::{AuthenticateError, NewSession, OpenSession, RefreshError, SessionError};
use crate::testing::World;

impl World {
    async fn is_alive(&self, session: &OpenSession) -> bool {
        self.services.sessions.authenticate(&session.access_token).await.is_ok()
    }

    async fn refreshable(&self) -> OpenSession {
        self.register("alice").await;
        let new = NewSession { refreshable: true, ..NewSession::default() };
        self.services.sessions.open("alice", new).await.unwrap()
    }

    async fn refresh(&self, session: &OpenSession) -> Result<OpenSession, RefreshError> {
        self.services.sessions.refresh(session.refresh_token.as_ref().unwrap()).await
    }
}

#[tokio::test]
async fn a_token_speaks_for_its_user_and_device() {
    let world = World::new();
    let session = world.register("alice").await;
    for _ in ["from the store", "from memory"] {
        let caller = world.services.sessions.authenticate(&session.access_token).await.unwrap();
        assert_eq!(caller.user_id, "@alice:acme.example");
        assert_eq!(caller.device_id, Some(session.device_id.clone()));
    }
}

/// S30, S31.
#[tokio::test]
async fn nothing_but_the_token_itself_is_accepted() {
    let world = World::new();
    let session = world.refreshable().await;
    let token = &session.access_token;
    assert_eq!(token.len(), 43, "256 bits in base64");
    let refresh_token = session.refresh_token.clone().unwrap();
    let wrong = ["", " ", "null", "[]", &token[1..], &format!("{token} "), &refresh_token];
    for wrong in wrong {
        let answer = world.services.sessions.authenticate(wrong).await;
        assert!(matches!(answer, Err(AuthenticateError::UnknownToken)), "{wrong:?}");
    }
}

/// S30.
#[tokio::test]
async fn the_store_holds_no_token_and_no_password() {
    let world = World::new();
    let session = world.refreshable().await;
    let snapshot = world.services.context.store.snapshot();
    let secrets =
        [session.access_token, session.refresh_token.unwrap(), crate::testing::PASSWORD.into()];
    for table in store::TABLES {
        snapshot
            .scan_prefix(*table, b"", |key, row| {
                for secret in &secrets {
                    let holds = |bytes: &[u8]| {
                        bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
                    };
                    assert!(!holds(key) && !holds(&row), "{}", table.name);
                }
                Ok(())
            })
            .unwrap();
    }
}

/// S33.
#[tokio::test]
async fn a_token_is_dead_when_its_logout_was_answered() {
    let world = World::new();
    let session = world.register("alice").await;
    let other = world.services.sessions.open("alice", NewSession::default()).await.unwrap();
    let sessions = &world.services.sessions;
    let caller = sessions.authenticate(&session.access_token).await.unwrap();
    sessions.close(&caller).await.unwrap();
    assert!(!world.is_alive(&session).await);
    assert!(world.is_alive(&other).await);
}

#[tokio::test]
async fn logging_out_everywhere_ends_every_session_of_that_user_only() {
    let world = World::new();
    let session = world.register("alice").await;
    let other = world.services.sessions.open("alice", NewSession::default()).await.unwrap();
    let bob = world.register("bob").await;
    let sessions = &world.services.sessions;
    let caller = sessions.authenticate(&session.access_token).await.unwrap();
    sessions.close_all(&caller).await.unwrap();
    assert!(!world.is_alive(&session).await);
    assert!(!world.is_alive(&other).await);
    assert!(world.is_alive(&bob).await);
}

#[tokio::test]
async fn a_new_login_on_a_device_ends_the_old_one() {
    let world = World::new();
    let old = world.register("alice").await;
    let new = NewSession { device_id: Some(old.device_id.clone()), ..NewSession::default() };
    let new = world.services.sessions.open("alice", new).await.unwrap();
    assert_eq!(new.device_id, old.device_id);
    assert!(!world.is_alive(&old).await);
    assert!(world.is_alive(&new).await);
}

#[tokio::test]
async fn an_empty_or_endless_device_id_is_refused() {
    let world = World::new();
    world.register("alice").await;
    for id in [String::new(), "D".repeat(256)] {
        let new = NewSession { device_id: Some(id.into()), ..NewSession::default() };
        let opened = world.services.sessions.open("alice", new).await;
        assert!(matches!(opened, Err(SessionError::InvalidDeviceId)));
    }
}

#[tokio::test]
async fn a_refreshable_token_expires_and_is_replaced() {
    let world = World::new();
    let first = world.refreshable().await;
    assert_eq!(first.expires_in, Some(Duration::from_secs(300)));
    assert!(world.is_alive(&first).await);
    world.clock.advance(Duration::from_secs(300));
    for _ in ["from the store", "from memory"] {
        let answer = world.services.sessions.authenticate(&first.access_token).await;
        assert!(matches!(answer, Err(AuthenticateError::Expired)));
    }
    let second = world.refresh(&first).await.unwrap();
    assert!(world.is_alive(&second).await);
    assert_eq!(second.device_id, first.device_id);
}

#[tokio::test]
async fn the_old_pair_is_good_until_the_new_one_is_used() {
    let world = World::new();
    let first = world.refreshable().await;
    world.refresh(&first).await.unwrap();
    let second = world.refresh(&first).await.expect("the answer may have been lost");
    assert!(world.is_alive(&first).await);
    assert!(world.is_alive(&second).await);
    assert!(!world.is_alive(&first).await, "the new access token was used");
    assert!(matches!(world.refresh(&first).await, Err(RefreshError::UnknownToken)));
    assert!(world.is_alive(&second).await);
}

#[tokio::test]
async fn using_the_new_refresh_token_ends_the_old_pair() {
    let world = World::new();
    let first = world.refreshable().await;
    let second = world.refresh(&first).await.unwrap();
    world.refresh(&second).await.unwrap();
    assert!(matches!(world.refresh(&first).await, Err(RefreshError::UnknownToken)));
    assert!(!world.is_alive(&first).await);
}

#[tokio::test]
async fn a_refresh_token_is_dead_after_the_logout() {
    let world = World::new();
    let session = world.refreshable().await;
    let caller = world.services.sessions.authenticate(&session.access_token).await.unwrap();
    world.services.sessions.close(&caller).await.unwrap();
    assert!(matches!(world.refresh(&session).await, Err(RefreshError::UnknownToken)));
    let hash = tokens::hash(session.refresh_token.as_ref().unwrap());
    let snapshot = world.services.context.store.snapshot();
    assert_eq!(tokens::get(&snapshot, &hash).unwrap(), None);
}

/// S33: what was read from the store before an account changed must not be remembered after it.
#[tokio::test]
async fn an_outdated_read_is_not_remembered() {
    let mut cache = super::cache::Cache::default();
    let world = World::new();
    let caller = world.user("alice").await;
    let generation = cache.get(&[1; 32]).unwrap_err();
    cache.forget("alice");
    cache.insert(generation, [1; 32], caller.clone(), None);
    let generation = cache.get(&[1; 32]).expect_err("the read was outdated");
    cache.insert(generation, [1; 32], caller.clone(), None);
    assert_eq!(cache.get(&[1; 32]), Ok((caller, None)));
    cache.forget("alice");
    assert!(cache.get(&[1; 32]).is_err());
}

#[tokio::test]
async fn where_a_device_was_seen_is_known_at_once_and_kept_later() {
    let world = World::new();
    let caller = world.user("alice").await;
    world.services.sessions.note_seen(&caller, Some([192, 0, 2, 7].into()));
    for _ in ["noted", "written"] {
        let devices = world.services.devices.list("alice").await.unwrap();
        let seen = devices[0].last_seen.clone().unwrap();
        assert_eq!(seen.address.as_deref(), Some("192.0.2.7"));
        world.services.sessions.write_seen().await.unwrap();
    }
}

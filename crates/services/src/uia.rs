//! User-interactive authentication: some requests must be proved by more than a token.
//!
//! A session belongs to one user, one operation and one body. It is good for one use: the request
//! with which its last stage is completed. Sessions live in memory; whoever loses his by a restart
//! is challenged again.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api>

use std::{sync::Arc, time::Duration};

use kv::StoreError;
use lru::LruCache;
use parking_lot::Mutex;
use ruma::UserId;
use subtle::ConstantTimeEq;

use crate::{
    Context,
    accounts::{Accounts, RegisterError},
    passwords::PasswordError,
};

#[cfg(test)]
mod tests;

/// How long a session can be completed.
const SESSION_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Sessions that are kept; the oldest go first.
const SESSIONS_MAX: usize = 10_000;

/// A way to prove something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Dummy,
    RegistrationToken,
    Password,
}

/// What is to be done, once the stages of one flow are completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Localpart of who asks; `None` before there is an account.
    pub user: Option<String>,
    /// The endpoint, and in its path what it is done to.
    pub endpoint: String,
    /// SHA-256 of the request's body without its `auth`; `None` where clients may complete the
    /// body between the stages.
    pub body: Option<[u8; 32]>,
}

/// The `auth` of a request.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    pub session: Option<String>,
    /// `None` when the client only asks how its session stands.
    pub proof: Option<Proof>,
}

#[derive(Clone)]
pub enum Proof {
    Dummy,
    RegistrationToken(String),
    /// `user` is a localpart or a full user id.
    Password {
        user: Option<String>,
        password: String,
    },
    /// A stage that no flow here has.
    Other,
}

impl std::fmt::Debug for Proof {
    /// Without what must not be logged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proof")
    }
}

/// What the client still has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub session: String,
    pub flows: Vec<Vec<Stage>>,
    pub completed: Vec<Stage>,
    /// Why the attempt did not count.
    pub refusal: Option<Refusal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    WrongPassword,
    WrongToken,
    /// The stage is in none of the flows.
    NotOffered,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum UiaError {
    #[error("more authentication is needed")]
    Challenged(Box<Challenge>),
    #[error("the authentication session was begun for something else")]
    OtherOperation,
    #[error("the proof is somebody else's than the caller's")]
    OtherUser,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub struct Uia {
    context: Context,
    accounts: Arc<Accounts>,
    sessions: Mutex<LruCache<String, Session>>,
}

#[derive(Clone)]
struct Session {
    operation: Operation,
    completed: Vec<Stage>,
    expires_ms: u64,
}

impl Uia {
    pub fn new(context: Context, accounts: Arc<Accounts>) -> Self {
        Self { context, accounts, sessions: Mutex::new(LruCache::unbounded()) }
    }

    /// `Ok` when the attempt completes one of the flows for this operation. Each flow has at least
    /// one stage.
    pub async fn check(
        &self,
        operation: &Operation,
        flows: &[Vec<Stage>],
        attempt: Option<Attempt>,
    ) -> Result<(), UiaError> {
        let Attempt { session: id, proof } = attempt.unwrap_or_default();
        let (id, mut session) = self.resume(id, operation)?;
        let stage = match proof {
            None => Ok(None),
            Some(proof) => self.prove(operation, flows, proof).await?.map(Some),
        };
        if let Ok(Some(stage)) = stage {
            // Another request may have completed a stage of the session meanwhile.
            let mut sessions = self.sessions.lock();
            let Some(stored) = sessions.get_mut(&id) else { return Err(UiaError::OtherOperation) };
            if !stored.completed.contains(&stage) {
                stored.completed.push(stage);
            }
            session = stored.clone();
            let is_done = |stage: &Stage| session.completed.contains(stage);
            if flows.iter().any(|flow| !flow.is_empty() && flow.iter().all(is_done)) {
                sessions.pop(&id);
                return Ok(());
            }
        }
        Err(UiaError::Challenged(Box::new(Challenge {
            session: id,
            flows: flows.to_vec(),
            completed: session.completed,
            refusal: stage.err(),
        })))
    }

    /// The session that the client names, or a new one.
    fn resume(
        &self,
        id: Option<String>,
        operation: &Operation,
    ) -> Result<(String, Session), UiaError> {
        let now_ms = self.context.clock.now_ms();
        let mut sessions = self.sessions.lock();
        let known = id.and_then(|id| sessions.get(&id).cloned().map(|session| (id, session)));
        if let Some((id, session)) = known.filter(|(_, session)| session.expires_ms > now_ms) {
            return match session.operation == *operation {
                true => Ok((id, session)),
                false => Err(UiaError::OtherOperation),
            };
        }
        let expires_ms = now_ms + SESSION_LIFETIME.as_millis() as u64;
        let session = Session { operation: operation.clone(), completed: Vec::new(), expires_ms };
        let id = self.context.ids.token();
        sessions.put(id.clone(), session.clone());
        while sessions.len() > SESSIONS_MAX {
            sessions.pop_lru();
        }
        Ok((id, session))
    }

    /// The stage that the proof completes.
    async fn prove(
        &self,
        operation: &Operation,
        flows: &[Vec<Stage>],
        proof: Proof,
    ) -> Result<Result<Stage, Refusal>, UiaError> {
        let (stage, passed) = match &proof {
            Proof::Dummy => (Stage::Dummy, true),
            Proof::RegistrationToken(token) => {
                (Stage::RegistrationToken, self.is_registration_token(token))
            }
            Proof::Password { .. } => (Stage::Password, false),
            Proof::Other => return Ok(Err(Refusal::NotOffered)),
        };
        if !flows.iter().flatten().any(|offered| *offered == stage) {
            return Ok(Err(Refusal::NotOffered));
        }
        Ok(match proof {
            Proof::Password { user, password } => {
                let passed = self.is_password_of(operation, user.as_deref(), &password).await?;
                if passed { Ok(stage) } else { Err(Refusal::WrongPassword) }
            }
            _ if passed => Ok(stage),
            _ => Err(Refusal::WrongToken),
        })
    }

    /// Whether registration is allowed to whoever has this token.
    pub fn is_registration_token(&self, token: &str) -> bool {
        let known = &self.accounts.policy().tokens;
        // Compares with all of them, and each to the end.
        let equal = |known: &String| bool::from(known.as_bytes().ct_eq(token.as_bytes()));
        known.iter().fold(false, |found, known| equal(known) | found) && !token.is_empty()
    }

    /// The password must be the caller's own: nobody acts for somebody else by his own password.
    async fn is_password_of(
        &self,
        operation: &Operation,
        user: Option<&str>,
        password: &str,
    ) -> Result<bool, UiaError> {
        let Some(caller) = &operation.user else { return Ok(false) };
        let named = match user {
            None => true,
            Some(user) if user.starts_with('@') => UserId::parse(user)
                .is_ok_and(|user| self.context.is_local(&user) && user.localpart() == caller),
            Some(user) => user == caller || user.to_ascii_lowercase() == *caller,
        };
        if !named {
            return Err(UiaError::OtherUser);
        }
        match self.accounts.has_password(caller, password).await {
            Ok(matches) => Ok(matches),
            Err(RegisterError::Password(error)) => Err(error.into()),
            Err(RegisterError::Read(error)) => Err(error.into()),
            Err(_) => Ok(false),
        }
    }
}

//! Hashing and checking passwords: argon2id, off the async threads, a few at a time.
//!
//! One [`Passwords`] serves all homeservers of the process, because what it guards is memory and
//! processors: a flood of logins waits here instead of taking the machine.

use std::sync::{Arc, OnceLock};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use model::ids::Ids;
use tokio::sync::Semaphore;

#[cfg(test)]
mod tests;

/// What a hash costs.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub memory_kib: u32,
    pub passes: u32,
}

impl Cost {
    /// The first recommendation of OWASP for argon2id with one lane.
    pub const RECOMMENDED: Self = Self { memory_kib: 19 * 1024, passes: 2 };
    /// As little as argon2 allows. For tests only.
    pub const LEAST: Self = Self { memory_kib: 8, passes: 1 };
}

pub struct Passwords {
    hasher: Argon2<'static>,
    ids: Arc<dyn Ids>,
    turns: Semaphore,
    /// A hash that no password has, to be checked for users who do not exist.
    nobodys: OnceLock<String>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("the cost of password hashes is out of argon2's range")]
    Cost,
    #[error("a password could not be hashed: {0}")]
    Hash(String),
    #[error("the server is stopping")]
    Stopping,
}

impl Passwords {
    /// `at_once` hashes are computed at the same time, each on its own thread.
    pub fn new(cost: Cost, at_once: usize, ids: Arc<dyn Ids>) -> Result<Self, PasswordError> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None);
        let params = params.map_err(|_| PasswordError::Cost)?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let turns = Semaphore::new(at_once.max(1));
        Ok(Self { hasher, ids, turns, nobodys: OnceLock::new() })
    }

    /// The password's hash, as it is stored.
    pub async fn hash(self: &Arc<Self>, password: &str) -> Result<String, PasswordError> {
        let password = password.to_owned();
        self.in_turn(move |this| this.hash_now(&password)).await
    }

    /// Whether the password belongs to the hash. Takes the same time when there is no hash, so
    /// that nobody learns by it who has an account.
    pub async fn matches(
        self: &Arc<Self>,
        password: &str,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        let password = password.to_owned();
        self.in_turn(move |this| match hash {
            Some(hash) => Ok(this.matches_now(&password, &hash)),
            None => {
                this.matches_now(&password, this.nobodys()?);
                Ok(false)
            }
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _turn = self.turns.acquire().await.map_err(|_| PasswordError::Stopping)?;
        let this = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&this)).await;
        done.unwrap_or(Err(PasswordError::Stopping))
    }

    fn hash_now(&self, password: &str) -> Result<String, PasswordError> {
        let mut salt = [0; 16];
        self.ids.fill(&mut salt);
        let hash = self.hasher.hash_password_with_salt(password.as_bytes(), &salt);
        hash.map(|hash| hash.to_string()).map_err(|error| PasswordError::Hash(error.to_string()))
    }

    fn matches_now(&self, password: &str, hash: &str) -> bool {
        // The cost is the one in the hash, not ours, so that old hashes stay good.
        let Ok(hash) = PasswordHash::new(hash) else { return false };
        self.hasher.verify_password(password.as_bytes(), &hash).is_ok()
    }

    fn nobodys(&self) -> Result<&str, PasswordError> {
        if self.nobodys.get().is_none() {
            let hash = self.hash_now(&self.ids.token())?;
            // Another thread may have been faster: either hash will do.
            let _ = self.nobodys.set(hash);
        }
        Ok(self.nobodys.get().map_or("", String::as_str))
    }
}

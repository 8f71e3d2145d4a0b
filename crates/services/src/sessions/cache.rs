//! Whom the tokens in use speak for.
//!
//! What is read from the store may be outdated by the time it gets here: it is kept only if no
//! account changed since the reader looked up the generation.

use std::{collections::HashMap, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;
use store::{log::Change, tokens::TokenHash};

use super::Caller;
use crate::log::Follower;

/// Sessions that are remembered; more are read from the store again.
const SESSIONS_MAX: usize = 50_000;

pub(super) struct Cache {
    sessions: LruCache<TokenHash, (Caller, Option<u64>)>,
    of_user: HashMap<String, Vec<TokenHash>>,
    generation: u64,
}

impl Default for Cache {
    fn default() -> Self {
        // Not `LruCache::new`, which takes the memory of a full cache at once.
        let sessions = LruCache::unbounded();
        Self { sessions, of_user: HashMap::new(), generation: 0 }
    }
}

impl Cache {
    /// The caller and when the token expires; or the generation to hand to [`Self::insert`].
    pub fn get(&mut self, hash: &TokenHash) -> Result<(Caller, Option<u64>), u64> {
        self.sessions.get(hash).cloned().ok_or(self.generation)
    }

    pub fn insert(
        &mut self,
        generation: u64,
        hash: TokenHash,
        caller: Caller,
        expires_ms: Option<u64>,
    ) {
        if generation != self.generation {
            return;
        }
        let user = caller.localpart().to_owned();
        if self.sessions.put(hash, (caller, expires_ms)).is_none() {
            self.of_user.entry(user).or_default().push(hash);
        }
        while self.sessions.len() > SESSIONS_MAX {
            let Some((hash, (caller, _))) = self.sessions.pop_lru() else { return };
            self.unlink(caller.localpart(), &hash);
        }
    }

    fn unlink(&mut self, user: &str, hash: &TokenHash) {
        let Some(hashes) = self.of_user.get_mut(user) else { return };
        hashes.retain(|other| other != hash);
        if hashes.is_empty() {
            self.of_user.remove(user);
        }
    }

    pub fn forget(&mut self, user: &str) {
        self.generation += 1;
        for hash in self.of_user.remove(user).unwrap_or_default() {
            self.sessions.pop(&hash);
        }
    }
}

/// Follows the log to forget the sessions of users whose account changed.
pub(super) struct Invalidation(pub Arc<Mutex<Cache>>);

impl Follower for Invalidation {
    fn changed(&self, _: u64, entry: &[Change]) {
        for change in entry {
            if let Change::Account { user } = change {
                self.0.lock().forget(user);
            }
        }
    }
}

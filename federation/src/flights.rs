//! Lets many who want the same thing at once wait for the one who fetches it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Names that are remembered before those that nobody waits for are swept out.
const KEYS_BEFORE_SWEEP: usize = 256;

/// One lock per key, for as long as somebody holds it or waits for it.
pub(crate) struct Flights<K> {
    locks: Mutex<HashMap<K, Weak<AsyncMutex<()>>>>,
}

impl<K: Hash + Eq> Flights<K> {
    pub(crate) fn new() -> Self {
        Self { locks: Mutex::new(HashMap::new()) }
    }

    /// Waits until nobody else fetches this. Whoever gets here looks first whether the one before
    /// has found it.
    pub(crate) async fn board(&self, key: K) -> OwnedMutexGuard<()> {
        self.lock_of(key).lock_owned().await
    }

    fn lock_of(&self, key: K) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock();
        if locks.len() >= KEYS_BEFORE_SWEEP {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        if let Some(lock) = locks.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(key, Arc::downgrade(&lock));
        lock
    }
}

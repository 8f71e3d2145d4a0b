//! The homeserver's log, as its services write and follow it.
//!
//! A position is *published* once the commit at it is durable and every follower in this process
//! was told of it, in order. Followers keep only what can be built again from the store: they are
//! told of everything after the position at which they registered, once, without gaps.

use std::{collections::BTreeMap, sync::Arc};

use kv::{Batch, CommitError, Store, StoreError};
use parking_lot::Mutex;
pub use store::log::{Change, LogEntry};
use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// Someone in this process who follows the log, to wake waiters or to keep a cache up to date.
/// Called in order, with the log locked: must be quick and must not call back.
pub trait Follower: Send + Sync {
    fn changed(&self, position: u64, entry: &[Change]);
}

pub struct Log {
    store: Store,
    published: Mutex<Published>,
    position: watch::Sender<u64>,
}

struct Published {
    position: u64,
    /// Durable entries whose predecessors were not published yet.
    waiting: BTreeMap<u64, LogEntry>,
    followers: Vec<Arc<dyn Follower>>,
}

impl Log {
    /// Starts at what the store holds.
    pub fn open(store: Store) -> Result<Self, StoreError> {
        let position = store.version()?;
        let published = Published { position, waiting: BTreeMap::new(), followers: Vec::new() };
        let published = Mutex::new(published);
        Ok(Self { store, published, position: watch::Sender::new(position) })
    }

    /// Tells the follower of everything after the position that this returns.
    pub fn follow(&self, follower: Arc<dyn Follower>) -> u64 {
        let mut published = self.published.lock();
        published.followers.push(follower);
        published.position
    }

    /// Lets go of all followers, which may hold the log themselves: the homeserver closes.
    pub fn close(&self) {
        self.published.lock().followers.clear();
    }

    /// The newest published position: a snapshot taken now shows everything up to it.
    pub fn position(&self) -> u64 {
        *self.position.borrow()
    }

    /// Changes when a position is published.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.position.subscribe()
    }

    /// Queues the batch now, in the order of the calls. The future resolves when it is durable
    /// *and* published, so that whoever was answered finds it in the next /sync.
    pub fn submit(
        self: &Arc<Self>,
        mut batch: Batch,
        entry: LogEntry,
    ) -> impl Future<Output = Result<u64, CommitError>> + Send + use<> {
        store::log::append(&mut batch, &entry);
        let commit = self.store.submit(batch);
        let log = Arc::clone(self);
        async move {
            let committed = commit.await?;
            log.publish(committed.version, entry).await;
            Ok(committed.version)
        }
    }

    /// [`submit`](Self::submit), and waits.
    pub async fn commit(
        self: &Arc<Self>,
        batch: Batch,
        entry: LogEntry,
    ) -> Result<u64, CommitError> {
        self.submit(batch, entry).await
    }

    /// Publishes everything that is durable. A safety net for commits whose task ended before it
    /// could publish; called by a timer.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        while self.position() < self.store.version()? {
            let position = self.position();
            let entries = self.store.read(move |rows| store::log::after(rows, position)).await?;
            if entries.is_empty() {
                return Ok(());
            }
            let mut published = self.published.lock();
            published.waiting.extend(entries);
            self.advance(&mut published);
        }
        Ok(())
    }

    async fn publish(&self, position: u64, entry: LogEntry) {
        {
            let mut published = self.published.lock();
            if position > published.position {
                published.waiting.insert(position, entry);
            }
            self.advance(&mut published);
        }
        // Commits are acknowledged in order, so the tasks before us are about to publish theirs.
        for _ in 0..YIELDS_MAX {
            if self.position() >= position {
                return;
            }
            tokio::task::yield_now().await;
        }
        while self.position() < position {
            if let Err(error) = self.catch_up().await {
                tracing::error!(%error, "the log cannot be read; its followers fall behind");
                return;
            }
        }
    }

    fn advance(&self, published: &mut Published) {
        let before = published.position;
        while let Some(entry) = published.waiting.remove(&(published.position + 1)) {
            published.position += 1;
            for follower in &published.followers {
                follower.changed(published.position, &entry);
            }
        }
        let position = published.position;
        published.waiting.retain(|waiting, _| *waiting > position);
        if position > before {
            self.position.send_replace(position);
        }
    }
}

/// How often a committer lets others run before it reads their entries from the store.
const YIELDS_MAX: usize = 8;

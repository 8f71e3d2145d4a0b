//! A disk that forgets what it has not synced: commits wait until the disk gets to them, and a
//! crash loses all that still wait. One that lies loses some more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kv::{
    Batch, BatchId, CommitError, Engine, Health, HomeserverId, MemoryEngine, Outcome,
    PendingCommit, PendingEpoch, PendingErasure, Reader, StoreError, Table, Version,
};
use parking_lot::Mutex;
use rand::{RngExt, rngs::StdRng};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

/// Milliseconds that a sync takes on a disk that is well, at most.
const SYNC_MS_MAX: u64 = 20;
/// Commits that a crash may still let through, though nobody hears of it.
const SURVIVORS_MAX: usize = 3;
/// Commits that a crash of a lying disk loses, though they were acknowledged.
const LOST_MAX: usize = 8;

/// What outlives a crash. Cheap to clone.
#[derive(Clone)]
pub struct Disk(Arc<Platter>);

struct Platter {
    engine: Mutex<MemoryEngine>,
    /// Everything that was submitted, in order, if the disk lies.
    journal: Mutex<Option<Vec<(HomeserverId, Batch)>>>,
    waiting: Notify,
    sync_ms_max: AtomicU64,
    rng: Mutex<StdRng>,
}

impl Disk {
    /// A new disk; its work is done by a task of the run.
    pub fn new(rng: StdRng) -> Self {
        let platter = Arc::new(Platter {
            engine: Mutex::new(empty()),
            journal: Mutex::default(),
            waiting: Notify::new(),
            sync_ms_max: AtomicU64::new(SYNC_MS_MAX),
            rng: Mutex::new(rng),
        });
        let working = Arc::clone(&platter);
        tokio::spawn(async move { working.work().await });
        Self(platter)
    }

    /// The disk as one life of a homeserver sees it.
    pub fn mounted(&self, life: CancellationToken) -> Arc<dyn Engine> {
        Arc::new(Mounted { platter: Arc::clone(&self.0), life })
    }

    /// The machine has lost its power.
    pub fn crash(&self) {
        let survivors = self.0.rng.lock().random_range(0..=SURVIVORS_MAX);
        let engine = self.0.engine();
        let done = engine.acknowledge(survivors);
        engine.power_cut();
        engine.set_health(Health::ReadWrite);
        if let Some(journal) = &mut *self.0.journal.lock() {
            let lost = self.0.rng.lock().random_range(1..=LOST_MAX);
            journal.truncate(journal.len().saturating_sub(lost + done));
            *self.0.engine.lock() = replayed(journal);
        }
    }

    /// From now on a crash loses some of what was acknowledged.
    pub fn lie(&self) {
        *self.0.journal.lock() = Some(Vec::new());
    }

    /// How long a sync takes from now on, at most.
    pub fn slow_down(&self, sync_ms_max: u64) {
        self.0.sync_ms_max.store(sync_ms_max, Ordering::Relaxed);
    }

    /// Refuses writes, or takes them again.
    pub fn fill(&self, full: bool) {
        self.0.engine().set_health(match full {
            true => Health::ReadOnly { why: "the disk is full".into() },
            false => Health::ReadWrite,
        });
    }

    pub fn heal(&self) {
        self.slow_down(SYNC_MS_MAX);
        self.fill(false);
    }
}

/// An engine on which commits wait.
fn empty() -> MemoryEngine {
    let engine = MemoryEngine::new(store::TABLES);
    engine.hold();
    engine
}

/// An engine that has taken these commits, and no others.
fn replayed(journal: &[(HomeserverId, Batch)]) -> MemoryEngine {
    let engine = empty();
    for (homeserver, batch) in journal {
        drop(engine.submit(*homeserver, batch.clone()));
    }
    engine.acknowledge(usize::MAX);
    engine
}

impl Platter {
    fn engine(&self) -> MemoryEngine {
        self.engine.lock().clone()
    }

    async fn work(&self) {
        loop {
            self.waiting.notified().await;
            let sync_ms_max = self.sync_ms_max.load(Ordering::Relaxed);
            let sync_ms = self.rng.lock().random_range(0..=sync_ms_max);
            tokio::time::sleep(Duration::from_millis(sync_ms)).await;
            self.engine().acknowledge(usize::MAX);
        }
    }
}

/// Whatever asks after the end of its life waits for ever, or reads nothing.
struct Mounted {
    platter: Arc<Platter>,
    life: CancellationToken,
}

impl Mounted {
    fn until_death<T: Send + 'static>(
        &self,
        answer: impl Future<Output = Result<T, CommitError>> + Send + 'static,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<T, CommitError>> + Send>> {
        self.platter.waiting.notify_one();
        let life = self.life.clone();
        Box::pin(async move {
            let answer = answer.await;
            if life.is_cancelled() {
                return std::future::pending().await;
            }
            answer
        })
    }
}

impl Engine for Mounted {
    fn snapshot(&self) -> Box<dyn Reader> {
        self.platter.engine().snapshot()
    }

    fn has_threads(&self) -> bool {
        false
    }

    fn submit(&self, homeserver: HomeserverId, batch: Batch) -> PendingCommit {
        if self.life.is_cancelled() {
            return Box::pin(std::future::pending());
        }
        if let Some(journal) = &mut *self.platter.journal.lock() {
            journal.push((homeserver, batch.clone()));
        }
        self.until_death(self.platter.engine().submit(homeserver, batch))
    }

    fn outcome(&self, homeserver: HomeserverId, id: BatchId) -> Result<Outcome, StoreError> {
        self.platter.engine().outcome(homeserver, id)
    }

    fn version(&self, homeserver: HomeserverId) -> Result<Version, StoreError> {
        self.platter.engine().version(homeserver)
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.platter.engine().compact()
    }

    fn fence(&self, homeserver: HomeserverId) -> PendingEpoch {
        self.until_death(self.platter.engine().fence(homeserver))
    }

    fn subscribe(&self) -> broadcast::Receiver<(HomeserverId, Version)> {
        self.platter.engine().subscribe()
    }

    fn health(&self) -> Health {
        self.platter.engine().health()
    }

    fn tables(&self) -> Vec<Table> {
        self.platter.engine().tables()
    }

    fn erase(&self, homeserver: HomeserverId) -> PendingErasure {
        self.until_death(self.platter.engine().erase(homeserver))
    }

    fn raise_version(&self, homeserver: HomeserverId, least: Version) -> PendingCommit {
        self.until_death(self.platter.engine().raise_version(homeserver, least))
    }
}

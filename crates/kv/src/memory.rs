//! The engine for tests and simulations: the semantics of the durable engine without a disk, and
//! hooks to make it fail.

mod rows;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{broadcast, oneshot};

use crate::{
    Batch, BatchId, CommitError, Committed, Engine, Epoch, Health, HomeserverId, Outcome, Page,
    PendingCommit, PendingEpoch, PendingErasure, Reader, StoreError, Table, Version,
    group::{Group, Position},
    limits,
    memory::rows::VersionedRows,
};

/// Hints that a slow subscriber may lag behind before it loses some.
const HINTS_MAX: usize = 1_024;

/// A database in memory. Commits are decided, applied and acknowledged inside
/// [`submit`](Engine::submit), until [`hold`](Self::hold) is called.
#[derive(Clone)]
pub struct MemoryEngine(Arc<Shared>);

/// How the next commit fails; see [`MemoryEngine::fail_next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Refused, nothing written.
    Unavailable,
    /// The caller hears [`CommitError::Unknown`], and it was written.
    UnknownButWritten,
    /// The caller hears [`CommitError::Unknown`], and it was not written.
    UnknownAndLost,
}

struct Shared {
    tables: Vec<Table>,
    state: Mutex<State>,
    rows: Mutex<VersionedRows>,
    hints: broadcast::Sender<(HomeserverId, Version)>,
}

#[derive(Default)]
struct State {
    positions: HashMap<HomeserverId, Position>,
    outcomes: HashMap<(HomeserverId, BatchId), Version>,
    health: Option<Arc<str>>,
    failures: VecDeque<Failure>,
    held: Option<VecDeque<Job>>,
}

enum Job {
    Commit(HomeserverId, Batch, Reply<Committed>),
    Fence(HomeserverId, Reply<Epoch>),
    Erase(HomeserverId, Reply<()>),
    Raise(HomeserverId, Version, Reply<Committed>),
}

type Reply<T> = oneshot::Sender<Result<T, CommitError>>;

impl MemoryEngine {
    pub fn new(tables: &[Table]) -> Self {
        Self(Arc::new(Shared {
            tables: tables.to_vec(),
            state: Mutex::default(),
            rows: Mutex::default(),
            hints: broadcast::Sender::new(HINTS_MAX),
        }))
    }

    /// From now on commits wait in the queue, neither visible nor durable, until
    /// [`acknowledge`](Self::acknowledge).
    pub fn hold(&self) {
        self.0.state.lock().held.get_or_insert_default();
    }

    /// Decides and applies the `count` oldest held commits; answers how many there were.
    pub fn acknowledge(&self, count: usize) -> usize {
        let mut state = self.0.state.lock();
        for done in 0..count {
            match state.held.as_mut().and_then(VecDeque::pop_front) {
                Some(job) => self.0.run(&mut state, job),
                None => return done,
            }
        }
        count
    }

    /// Acknowledges everything that is held, and holds no more.
    pub fn release(&self) {
        let mut state = self.0.state.lock();
        for job in state.held.take().into_iter().flatten() {
            self.0.run(&mut state, job);
        }
    }

    /// What a power cut and a restart leave: held commits are gone, and their futures say
    /// [`CommitError::Unknown`]; everything acknowledged is there.
    pub fn power_cut(&self) {
        let forgotten = self.0.state.lock().held.as_mut().map(std::mem::take);
        for job in forgotten.into_iter().flatten() {
            job.refuse(CommitError::Unknown);
        }
    }

    /// Lets the next commit that is not yet decided fail so. Several failures queue up.
    pub fn fail_next(&self, failure: Failure) {
        self.0.state.lock().failures.push_back(failure);
    }

    /// Takes writes, or refuses them for a reason.
    pub fn set_health(&self, health: Health) {
        self.0.state.lock().health = match health {
            Health::ReadWrite => None,
            Health::ReadOnly { why } => Some(why),
        };
    }

    fn enqueue(&self, job: Job) {
        let mut state = self.0.state.lock();
        if let Some(why) = &state.health {
            let why = why.clone();
            return job.refuse(CommitError::Unavailable { why });
        }
        match &mut state.held {
            Some(held) => held.push_back(job),
            None => self.0.run(&mut state, job),
        }
    }
}

impl Engine for MemoryEngine {
    fn snapshot(&self) -> Box<dyn Reader> {
        let sequence = self.0.rows.lock().open_snapshot();
        Box::new(MemoryReader { shared: self.0.clone(), sequence })
    }

    fn snapshot_in_memory(&self) -> Option<Box<dyn Reader>> {
        Some(self.snapshot())
    }

    fn submit(&self, homeserver: HomeserverId, batch: Batch) -> PendingCommit {
        let (reply, answer) = oneshot::channel();
        match limits::check(&batch, &self.0.tables) {
            Ok(_) => self.enqueue(Job::Commit(homeserver, batch, reply)),
            Err(refusal) => drop(reply.send(Err(refusal))),
        }
        pending(answer)
    }

    fn outcome(&self, homeserver: HomeserverId, id: BatchId) -> Result<Outcome, StoreError> {
        let state = self.0.state.lock();
        let waits = |job: &Job| matches!(job, Job::Commit(of, batch, _) if *of == homeserver && batch.id == id);
        if state.held.iter().flatten().any(waits) {
            return Err(StoreError::Undecided);
        }
        Ok(match state.outcomes.get(&(homeserver, id)) {
            Some(version) => Outcome::Committed(*version),
            None => Outcome::NotCommitted,
        })
    }

    fn version(&self, homeserver: HomeserverId) -> Result<Version, StoreError> {
        Ok(self.0.state.lock().position(homeserver).version)
    }

    fn fence(&self, homeserver: HomeserverId) -> PendingEpoch {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::Fence(homeserver, reply));
        pending(answer)
    }

    fn subscribe(&self) -> broadcast::Receiver<(HomeserverId, Version)> {
        self.0.hints.subscribe()
    }

    fn health(&self) -> Health {
        match &self.0.state.lock().health {
            None => Health::ReadWrite,
            Some(why) => Health::ReadOnly { why: why.clone() },
        }
    }

    fn tables(&self) -> Vec<Table> {
        self.0.tables.clone()
    }

    fn erase(&self, homeserver: HomeserverId) -> PendingErasure {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::Erase(homeserver, reply));
        pending(answer)
    }

    fn compact(&self) -> Result<(), StoreError> {
        // Nothing that was deleted is kept.
        Ok(())
    }

    fn raise_version(&self, homeserver: HomeserverId, least: Version) -> PendingCommit {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::Raise(homeserver, least, reply));
        pending(answer)
    }
}

fn pending<T: Send + 'static>(
    answer: oneshot::Receiver<Result<T, CommitError>>,
) -> std::pin::Pin<Box<dyn Future<Output = Result<T, CommitError>> + Send>> {
    Box::pin(async move { answer.await.unwrap_or(Err(CommitError::Unknown)) })
}

impl Job {
    fn refuse(self, refusal: CommitError) {
        // A caller that no longer listens is not told; that is its right.
        match self {
            Job::Commit(_, _, reply) | Job::Raise(_, _, reply) => drop(reply.send(Err(refusal))),
            Job::Fence(_, reply) => drop(reply.send(Err(refusal))),
            Job::Erase(_, reply) => drop(reply.send(Err(refusal))),
        }
    }
}

impl State {
    fn position(&self, homeserver: HomeserverId) -> Position {
        self.positions.get(&homeserver).copied().unwrap_or_default()
    }
}

impl Shared {
    fn run(&self, state: &mut State, job: Job) {
        match job {
            Job::Commit(homeserver, batch, reply) => {
                let result = self.commit(state, homeserver, batch);
                drop(reply.send(result));
            }
            Job::Fence(homeserver, reply) => {
                let position = state.positions.entry(homeserver).or_default();
                position.epoch += 1;
                drop(reply.send(Ok(position.epoch)));
            }
            Job::Erase(homeserver, reply) => {
                state.positions.remove(&homeserver);
                state.outcomes.retain(|(of, _), _| *of != homeserver);
                self.rows.lock().erase(homeserver);
                drop(reply.send(Ok(())));
            }
            Job::Raise(homeserver, least, reply) => {
                let position = state.positions.entry(homeserver).or_default();
                position.version = position.version.max(least);
                drop(reply.send(Ok(Committed { version: position.version })));
            }
        }
    }

    fn commit(
        &self,
        state: &mut State,
        homeserver: HomeserverId,
        batch: Batch,
    ) -> Result<Committed, CommitError> {
        let failure = state.failures.pop_front();
        match failure {
            Some(Failure::Unavailable) => {
                return Err(CommitError::Unavailable { why: "a test asked for this".into() });
            }
            Some(Failure::UnknownAndLost) => return Err(CommitError::Unknown),
            Some(Failure::UnknownButWritten) | None => {}
        }
        let id = batch.id;
        let position = state.position(homeserver);
        let mut group = Group::default();
        group.watch(&batch);
        let mut rows = self.rows.lock();
        let changes = group.admit(batch, position, &*rows)?;
        rows.apply(changes);
        drop(rows);
        let version = position.version + 1;
        state.positions.insert(homeserver, Position { version, ..position });
        state.outcomes.insert((homeserver, id), version);
        // No subscriber is no error: hints may be lost.
        drop(self.hints.send((homeserver, version)));
        match failure {
            Some(_) => Err(CommitError::Unknown),
            None => Ok(Committed { version }),
        }
    }
}

/// Reads as of one sequence number.
struct MemoryReader {
    shared: Arc<Shared>,
    sequence: u64,
}

impl Reader for MemoryReader {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.shared.known(table)?;
        Ok(self.shared.rows.lock().get(table, key, self.sequence))
    }

    fn multi_get(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.shared.known(table)?;
        let rows = self.shared.rows.lock();
        Ok(keys.iter().map(|key| rows.get(table, key, self.sequence)).collect())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.shared.known(table)?;
        let rows = self.shared.rows.lock();
        let mut found = rows.range(table, from, to, self.sequence);
        Ok(if reverse { Page::fill(found.rev(), limit) } else { Page::fill(&mut found, limit) })
    }
}

impl Shared {
    fn known(&self, table: Table) -> Result<(), StoreError> {
        if self.tables.contains(&table) {
            return Ok(());
        }
        Err(StoreError::Read(format!("there is no table {}", table.name).into()))
    }
}

impl Drop for MemoryReader {
    fn drop(&mut self) {
        self.shared.rows.lock().close_snapshot(self.sequence);
    }
}

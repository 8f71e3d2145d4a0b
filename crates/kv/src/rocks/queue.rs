//! The commits that wait for the committer: each homeserver's in the order in which they were
//! submitted, the homeservers by turns. However much one of them writes, what another submits is in
//! the next group.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{Batch, BatchId, CommitError, Committed, Epoch, HomeserverId, Version};

pub(super) type Reply<T> = oneshot::Sender<Result<T, CommitError>>;

/// What the committer is asked to do.
pub(super) enum Job {
    Commit { homeserver: HomeserverId, batch: Batch, reply: Reply<Committed> },
    Fence { homeserver: HomeserverId, reply: Reply<Epoch> },
    Erase { homeserver: HomeserverId, reply: Reply<()> },
    Raise { homeserver: HomeserverId, least: Version, reply: Reply<Committed> },
}

impl Job {
    /// Answers the caller, if there still is one, that it did not happen.
    pub fn refuse(self, refusal: CommitError) {
        match self {
            Self::Commit { reply, .. } | Self::Raise { reply, .. } => {
                drop(reply.send(Err(refusal)));
            }
            Self::Fence { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Erase { reply, .. } => drop(reply.send(Err(refusal))),
        }
    }

    fn homeserver(&self) -> HomeserverId {
        match self {
            Self::Commit { homeserver, .. }
            | Self::Fence { homeserver, .. }
            | Self::Erase { homeserver, .. }
            | Self::Raise { homeserver, .. } => *homeserver,
        }
    }

    pub fn names(&self) -> Option<(HomeserverId, BatchId)> {
        match self {
            Self::Commit { homeserver, batch, .. } => Some((*homeserver, batch.id)),
            _ => None,
        }
    }
}

/// Bounded by bytes; a queue that is full refuses. One homeserver can fill half of it only, so that
/// the others are still served.
pub(super) struct Queue {
    bytes_max: usize,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    /// What waits, by homeserver; no line is empty.
    lines: HashMap<HomeserverId, Line>,
    /// The homeservers with a line. The first one is served next.
    turns: VecDeque<HomeserverId>,
    /// Of all lines.
    bytes: usize,
    /// The batches that the committer works on.
    taken: Vec<(HomeserverId, BatchId)>,
    /// The batches that a failed write left undecided.
    undecided: Vec<(HomeserverId, BatchId)>,
    closed: bool,
}

/// What waits of one homeserver.
#[derive(Default)]
struct Line {
    jobs: VecDeque<(Job, usize)>,
    bytes: usize,
}

impl State {
    fn refusal(
        &self,
        homeserver: HomeserverId,
        bytes: usize,
        bytes_max: usize,
    ) -> Option<&'static str> {
        let own = self.lines.get(&homeserver).map_or(0, |line| line.bytes);
        if self.closed {
            Some("the store is closed")
        } else if own > 0 && own + bytes > bytes_max / 2 {
            Some("too many commits of this homeserver wait")
        } else if self.bytes + bytes > bytes_max {
            Some("too many commits wait")
        } else {
            None
        }
    }

    fn push(&mut self, job: Job, bytes: usize) {
        let homeserver = job.homeserver();
        let line = match self.lines.entry(homeserver) {
            Entry::Occupied(line) => line.into_mut(),
            Entry::Vacant(line) => {
                self.turns.push_back(homeserver);
                line.insert(Line::default())
            }
        };
        line.jobs.push_back((job, bytes));
        line.bytes += bytes;
        self.bytes += bytes;
    }

    /// The next job, if it has no more bytes than this.
    fn pop(&mut self, bytes_max: usize) -> Option<(Job, usize)> {
        let Entry::Occupied(mut line) = self.lines.entry(*self.turns.front()?) else { return None };
        let (job, bytes) = line.get_mut().jobs.pop_front_if(|(_, bytes)| *bytes <= bytes_max)?;
        line.get_mut().bytes -= bytes;
        self.bytes -= bytes;
        self.turns.rotate_left(1);
        if line.get().jobs.is_empty() {
            line.remove();
            self.turns.pop_back();
        }
        Some((job, bytes))
    }
}

/// Small jobs must not be free either.
const JOB_BYTES: usize = 512;
/// A group may be this large, so that one write and one sync stay short; one batch always fits.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// What [`Queue::take`] comes back with.
pub(super) enum Work {
    Group(Vec<Job>),
    /// Nothing came within the time.
    Idle,
    Closed,
}

impl Queue {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default(), filled: Condvar::new() }
    }

    pub fn push(&self, job: Job, bytes: usize) {
        let bytes = bytes + JOB_BYTES;
        let mut state = self.state.lock();
        if let Some(why) = state.refusal(job.homeserver(), bytes, self.bytes_max) {
            drop(state);
            return job.refuse(CommitError::Unavailable { why: why.into() });
        }
        let was_empty = state.turns.is_empty();
        state.push(job, bytes);
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Waits for work (no longer than `patience`, if there is any), and takes as much of it as one
    /// group may hold.
    pub fn take(&self, patience: Option<Duration>) -> Work {
        let mut state = self.state.lock();
        while state.turns.is_empty() {
            if state.closed {
                return Work::Closed;
            }
            match patience {
                None => self.filled.wait(&mut state),
                Some(patience) => {
                    if self.filled.wait_for(&mut state, patience).timed_out() {
                        return Work::Idle;
                    }
                }
            }
        }
        let mut group = Vec::new();
        // One batch always fits.
        let mut bytes_left = usize::MAX;
        while let Some((job, bytes)) = state.pop(bytes_left) {
            bytes_left = bytes_left.min(GROUP_BYTES_MAX).saturating_sub(bytes);
            state.taken.extend(job.names());
            group.push(job);
        }
        Work::Group(group)
    }

    /// It is known what became of every batch that was taken last.
    pub fn decided(&self) {
        self.state.lock().taken.clear();
    }

    /// It will not be known before [`settled`](Self::settled).
    pub fn undecided(&self) {
        let state = &mut *self.state.lock();
        state.undecided.append(&mut state.taken);
    }

    /// The store itself now tells what became of every batch.
    pub fn settled(&self) {
        self.state.lock().undecided.clear();
    }

    pub fn is_undecided(&self, homeserver: HomeserverId, id: BatchId) -> bool {
        let state = self.state.lock();
        let name = (homeserver, id);
        state.taken.contains(&name)
            || state.undecided.contains(&name)
            || state
                .lines
                .get(&homeserver)
                .is_some_and(|line| line.jobs.iter().any(|(job, _)| job.names() == Some(name)))
    }

    /// Refuses new jobs; those that wait are still done.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }
}

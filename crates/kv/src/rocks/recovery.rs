//! From a failed write back to a store that takes writes.
//!
//! After a failed write nobody knows what the log on disk holds. So the store refuses writes, and
//! goes on reading, until the database has been opened anew and the log itself has told. On a disk
//! that was full this happens as soon as there is space; a disk that is broken needs an operator.

use std::{sync::Arc, thread, time::Duration};

use super::{
    database::{Access, Database},
    shared::Shared,
};
use crate::{Health, StoreError};

pub(super) struct Recovery {
    probe_interval: Duration,
    /// Until the next attempt.
    pause: Duration,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// There is no space, or none that this process may use.
    DiskFull,
    Broken,
}

/// Space that must be free besides what the log holds: new table files, manifest and log.
const SPARE_BYTES: u64 = 4 << 20;
/// How long new readers may have to wait for old ones to finish, so that the database can close.
const DRAIN_MAX: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
const DRAIN_POLL: Duration = Duration::from_millis(1);

impl Recovery {
    pub fn new(probe_interval: Duration) -> Self {
        Self { probe_interval, pause: probe_interval, fault: None }
    }

    /// How long to wait for commits before the next attempt; for ever when none is needed.
    pub fn patience(&self) -> Option<Duration> {
        match self.fault {
            Some(Fault::DiskFull) => Some(self.pause),
            Some(Fault::Broken) | None => None,
        }
    }

    /// Stops writes. The batches that the committer has taken stay undecided.
    pub fn write_failed(&mut self, shared: &Shared, error: &str) {
        let fault = classify(error);
        let why: Arc<str> = match fault {
            Fault::DiskFull => format!("the disk is full: {error}").into(),
            Fault::Broken => format!("a write failed: {error}").into(),
        };
        self.fault = Some(fault);
        self.pause = self.probe_interval;
        shared.queue.undecided();
        shared.versions.write().clear();
        *shared.health.write() = Health::ReadOnly { why };
        tracing::error!(%error, ?fault, "the store takes no writes any more");
    }

    /// Opens the database anew, if there is space again.
    pub fn attempt(&mut self, shared: &Shared) {
        let needed = shared.folder.bytes_of("log") + SPARE_BYTES;
        if !shared.folder.has_space_for(needed) {
            return;
        }
        match reopen(shared) {
            Ok(true) => {
                self.fault = None;
                shared.queue.settled();
                *shared.health.write() = Health::ReadWrite;
                tracing::info!("the store takes writes again");
            }
            Ok(false) => {
                // Readers had to wait for this; they shall not have to all the time.
                self.pause = (self.pause * 2).min(PAUSE_MAX);
                tracing::warn!("the store cannot be reopened while somebody reads on and on");
            }
            Err(error) => tracing::warn!(%error, "the store could not be reopened"),
        }
    }
}

/// Whether the database was opened anew: not while somebody still reads the old one.
fn reopen(shared: &Shared) -> Result<bool, StoreError> {
    let mut slot = shared.database.write();
    if let Ok(database) = &*slot
        && !drained(database)
    {
        return Ok(false);
    }
    *slot = Err("the store is being reopened".into());
    let open = |access| {
        Database::open(shared.folder.clone(), &shared.tables, &shared.options, access).map(Arc::new)
    };
    match open(Access::ReadWrite) {
        Ok(database) => {
            *slot = Ok(database);
            Ok(true)
        }
        Err(error) => {
            *slot = open(Access::ReadOnly).map_err(|error| error.to_string().into());
            Err(error)
        }
    }
}

fn drained(database: &Arc<Database>) -> bool {
    let polls = DRAIN_MAX.as_millis() / DRAIN_POLL.as_millis();
    (0..polls).any(|_| {
        let last = Arc::strong_count(database) == 1;
        if !last {
            thread::sleep(DRAIN_POLL);
        }
        last
    })
}

fn classify(error: &str) -> Fault {
    const NO_SPACE: [&str; 3] = ["No space left", "Disk quota exceeded", "File too large"];
    if NO_SPACE.iter().any(|cause| error.contains(cause)) { Fault::DiskFull } else { Fault::Broken }
}

//! The one thread that writes. It takes everything that waits, decides it in order, makes it
//! durable with one write and one sync, and then answers everybody.

mod draft;

use std::{
    collections::HashMap,
    sync::Arc,
    thread::{self, JoinHandle},
};

pub(super) use self::draft::Moved;
use self::draft::{Answer, Draft};
use super::{
    queue::{Job, Work},
    recovery::Recovery,
    shared::Shared,
};
use crate::{CommitError, Health, HomeserverId, StoreError, group::Position};

pub(super) fn spawn(shared: Arc<Shared>) -> Result<JoinHandle<()>, StoreError> {
    let recovery = Recovery::new(shared.options.probe_interval);
    let committer = Committer { shared, recovery, positions: HashMap::new() };
    thread::Builder::new()
        .name("kv-committer".into())
        .spawn(move || committer.run())
        .map_err(|error| StoreError::Open(format!("no thread for commits: {error}").into()))
}

struct Committer {
    shared: Arc<Shared>,
    recovery: Recovery,
    /// Where each homeserver stands that was written to, as of the newest group.
    positions: HashMap<HomeserverId, Position>,
}

impl Committer {
    fn run(mut self) {
        loop {
            match self.shared.queue.take(self.recovery.patience()) {
                Work::Group(jobs) => self.commit(jobs),
                Work::Idle => self.recovery.attempt(&self.shared),
                Work::Closed => return,
            }
        }
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        let database = match (self.shared.health(), self.shared.database()) {
            (Health::ReadWrite, Ok(database)) => database,
            (Health::ReadOnly { why }, _) | (_, Err(why)) => {
                // Before the answers: who hears one may ask for the outcome.
                self.shared.queue.decided();
                let refusal = CommitError::Unavailable { why };
                return jobs.into_iter().for_each(|job| job.refuse(refusal.clone()));
            }
        };
        let now_s = (self.shared.options.clock)();
        let mut draft = Draft::new(&database, &mut self.positions, now_s);
        for job in &jobs {
            draft.watch(job);
        }
        for job in jobs {
            draft.add(job);
        }
        match draft.write() {
            Ok(done) => {
                self.shared.publish(&done.moved);
                self.shared.queue.decided();
                done.answers.into_iter().for_each(Answer::send);
            }
            Err(failed) => {
                self.positions.clear();
                self.recovery.write_failed(&self.shared, &failed.error);
                failed.answers.into_iter().for_each(Answer::send_unknown);
            }
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // Nobody may wait for ever for a thread that is no more.
        if thread::panicking() {
            self.recovery.write_failed(&self.shared, "the committer has panicked");
            self.shared.queue.close();
            while let Work::Group(jobs) = self.shared.queue.take(None) {
                let refusal = CommitError::Unavailable { why: "the committer has panicked".into() };
                jobs.into_iter().for_each(|job| job.refuse(refusal.clone()));
            }
        }
    }
}

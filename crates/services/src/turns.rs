//! Fairness between the homeservers of a process: while several of them write, each has only so many
//! writes *in work*, and its others wait for their turn.
//!
//! Commits are taken by turns anyway, but the threads that lead up to them serve who comes first:
//! behind a hundred writers of one homeserver, a writer of another would wait for all of them.

use std::{pin::pin, sync::Arc, thread::available_parallelism, time::Duration};

use kv::HomeserverId;
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

#[cfg(test)]
mod tests;

/// What takes longer waits for something that others do not have to wait for, a slow disk for
/// instance, and no longer counts.
const TURN_TIME_MAX: Duration = Duration::from_millis(2);
/// Who wrote so long ago does not write now.
const MEMORY: Duration = Duration::from_secs(10);

/// Which homeservers of a process write. Cheap to clone.
#[derive(Clone)]
pub struct Writers {
    latest: Arc<Mutex<Latest>>,
    in_work_max: usize,
}

/// One homeserver's writes.
pub struct Turns {
    homeserver: HomeserverId,
    writers: Writers,
    in_work: Semaphore,
}

/// The newest writes of two different homeservers.
#[derive(Default)]
struct Latest {
    newest: Option<(HomeserverId, Instant)>,
    /// Of the homeserver that wrote last before the newest one's latest row of writes.
    before: Option<(HomeserverId, Instant)>,
}

impl Default for Writers {
    /// One write in work for each processor.
    fn default() -> Self {
        Self::new(available_parallelism().map_or(1, usize::from))
    }
}

impl Writers {
    /// `in_work_max`: of each homeserver, while several write.
    fn new(in_work_max: usize) -> Self {
        Self { latest: Arc::default(), in_work_max }
    }

    /// The turns of a homeserver, which it has once.
    pub fn turns(&self, homeserver: HomeserverId) -> Arc<Turns> {
        let in_work = Semaphore::new(self.in_work_max);
        Arc::new(Turns { homeserver, writers: self.clone(), in_work })
    }
}

impl Turns {
    /// Does a write when it is its turn.
    pub async fn take<T>(&self, write: impl Future<Output = T>) -> T {
        let others_write = self.writers.latest.lock().note(self.homeserver, Instant::now());
        if !others_write {
            return write.await;
        }
        // It is never closed.
        let turn = self.in_work.acquire().await.ok();
        let mut write = pin!(write);
        match timeout(TURN_TIME_MAX, &mut write).await {
            Ok(done) => done,
            Err(_) => {
                drop(turn);
                write.await
            }
        }
    }
}

impl Latest {
    /// Notes a write, and tells whether another homeserver writes, too.
    fn note(&mut self, homeserver: HomeserverId, now: Instant) -> bool {
        let earlier = self.newest.replace((homeserver, now));
        if earlier.is_some_and(|(other, _)| other != homeserver) {
            self.before = earlier;
        }
        self.before.is_some_and(|(_, wrote)| now.duration_since(wrote) < MEMORY)
    }
}

//! Somebody who disturbs: on a thread and a runtime of his own, so that he holds up the server and
//! not who measures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};
use tokio::sync::Notify;

/// Between a disturber and who starts and stops him.
#[derive(Debug, Default)]
pub(super) struct Going {
    prepared: Notify,
    over: AtomicBool,
}

impl Going {
    /// His preparations are over, and he begins.
    pub(super) fn begin(&self) {
        self.prepared.notify_one();
    }

    /// Whether he may go on.
    pub(super) fn on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }
}

/// A disturber at work.
pub(super) struct Disturber {
    going: Arc<Going>,
    thread: JoinHandle<u64>,
}

impl Disturber {
    /// Comes back when he has begun. What he does ends soon after [`Going::on`] says no, and tells how
    /// much it was.
    pub(super) async fn start<F: Future<Output = u64>>(
        make: impl FnOnce(Arc<Going>) -> F + Send + 'static,
    ) -> Self {
        let going = Arc::new(Going::default());
        let his = Arc::clone(&going);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(make(his))
        });
        going.prepared.notified().await;
        Self { going, thread }
    }

    pub(super) async fn stop(self) -> u64 {
        self.going.over.store(true, Ordering::Relaxed);
        let ended = tokio::task::spawn_blocking(|| self.thread.join()).await;
        ended.expect("a thread that waits").expect("the disturber did not panic")
    }
}

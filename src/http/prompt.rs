//! A future that is polled again at once when it woke itself meanwhile.
//!
//! A connection hands the body of a request from its one half to its other, and wakes itself to do
//! so. To the runtime that is a task that gives way to others: it would be queued anew, and another
//! thread be woken to look for work. Most often there is nothing left to do.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

#[cfg(test)]
mod tests;

/// How often in a row: who goes on waking itself gives way to others.
const AGAIN_MAX: usize = 3;

/// Nobody polls it: to wake it is to wake its task.
const RESTING: u8 = 0;
const POLLED: u8 = 1;
/// It was woken while it was polled.
const WOKEN: u8 = 2;

#[derive(Default)]
struct Wakes {
    state: AtomicU8,
    task: AtomicWaker,
}

pub(super) async fn prompt<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    poll_fn(move |cx| {
        wakes.task.register(cx.waker());
        for _ in 0..=AGAIN_MAX {
            wakes.state.store(POLLED, Ordering::SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(output);
            }
            if wakes.state.swap(RESTING, Ordering::SeqCst) == POLLED {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken = |state| (state != RESTING).then_some(WOKEN);
        if self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, woken).is_err() {
            self.task.wake();
        }
    }
}

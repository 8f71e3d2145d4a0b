use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use futures_util::task::AtomicWaker;
use tokio::sync::mpsc;

use super::{AGAIN_MAX, prompt};

/// A task's waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn who_woke_itself_is_polled_again_without_its_task() {
    let count = Arc::new(Count::default());
    let mut polls = 0;
    let mut future = pin!(prompt(poll_fn(|cx| {
        polls += 1;
        if polls == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(polls)
    })));
    let waker = Waker::from(Arc::clone(&count));
    let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
    assert_eq!(polled, Poll::Ready(2));
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
}

#[test]
fn who_wakes_itself_for_ever_gives_way_to_others() {
    let count = Arc::new(Count::default());
    let polls = AtomicUsize::new(0);
    let mut future = pin!(prompt(poll_fn(|cx| {
        polls.fetch_add(1, Ordering::SeqCst);
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    })));
    let waker = Waker::from(Arc::clone(&count));
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(polls.load(Ordering::SeqCst), 1 + AGAIN_MAX);
    assert_eq!(count.0.load(Ordering::SeqCst), 1, "its task was woken, to go on later");
}

#[test]
fn who_is_woken_between_two_polls_wakes_its_task() {
    let count = Arc::new(Count::default());
    let inner = AtomicWaker::new();
    let mut future = pin!(prompt(poll_fn(|cx| {
        inner.register(cx.waker());
        Poll::<()>::Pending
    })));
    let waker = Waker::from(Arc::clone(&count));
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    inner.wake();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn no_wake_of_another_thread_is_lost() {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let sending = thread::spawn(move || {
        for number in 0..100_000 {
            sender.send(number).unwrap();
        }
    });
    let received = prompt(async {
        let mut count = 0;
        while receiver.recv().await.is_some() {
            count += 1;
        }
        count
    });
    assert_eq!(received.await, 100_000);
    sending.join().unwrap();
}

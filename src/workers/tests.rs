//! Workers diligent and clumsy, on a clock that runs by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Next, PAUSE_MIN, Supervisor, Worker};

const DAY: Duration = Duration::from_secs(86_400);

/// Counts its steps, tells when it has made one, and panics at some of them.
struct Counter {
    steps: Arc<AtomicUsize>,
    stepped: Arc<Notify>,
    panics_before: usize,
}

impl Worker for Counter {
    async fn step(&mut self) -> Next {
        let step = self.steps.fetch_add(1, Ordering::SeqCst);
        assert!(step >= self.panics_before, "clumsy");
        self.stepped.notify_one();
        Next::Wait(DAY)
    }
}

struct World {
    supervisor: Supervisor,
    drain: CancellationToken,
    signal: Arc<Notify>,
    steps: Arc<AtomicUsize>,
    stepped: Arc<Notify>,
}

fn world(panics_before: usize) -> World {
    let drain = CancellationToken::new();
    let world = World {
        supervisor: Supervisor::new(drain.clone()),
        drain,
        signal: Arc::default(),
        steps: Arc::default(),
        stepped: Arc::default(),
    };
    let (steps, stepped) = (world.steps.clone(), world.stepped.clone());
    let make = move || Counter { steps: steps.clone(), stepped: stepped.clone(), panics_before };
    world.supervisor.start("counter", world.signal.clone(), make);
    world
}

#[tokio::test(start_paused = true)]
async fn a_worker_steps_at_once_then_by_signal_and_by_timer() {
    let world = world(0);
    let start = Instant::now();
    world.stepped.notified().await;
    world.signal.notify_one();
    world.stepped.notified().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    world.stepped.notified().await;
    assert_eq!(start.elapsed().as_secs(), DAY.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_is_made_anew_after_a_growing_pause() {
    let world = world(3);
    let start = Instant::now();
    world.stepped.notified().await;
    assert_eq!(world.steps.load(Ordering::SeqCst), 4);
    assert_eq!(start.elapsed().as_secs(), (PAUSE_MIN * (1 + 2 + 4)).as_secs());
}

#[tokio::test(start_paused = true)]
async fn the_drain_signal_ends_the_wait() {
    let world = world(0);
    world.stepped.notified().await;
    let start = Instant::now();
    world.drain.cancel();
    world.supervisor.stopped().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(world.steps.load(Ordering::SeqCst), 1);
}

//! Work that nobody waits for, done beside the requests: the list of all workers, and who keeps
//! them at work.
//!
//! A worker takes no input: it reads durable state, does one piece of work and says when it wants
//! to be asked again. A signal only makes that sooner, so a lost signal costs time, not work. A
//! worker that panics is made anew, after a pause that grows.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod certificates;
mod federation;
mod last_seen;
mod log;
mod media;
mod member_events;
mod presence;
mod states;
mod typing;
mod unread;

use crate::{app::App, http::tls::Certificates};

/// Pause after the first panic; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// Steps in progress get this long to end when the process stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// Every worker of a homeserver, one line each.
pub(crate) fn of_homeserver(app: &App, workers: &Supervisor) {
    let homeserver = app.clone();
    workers.start("log", Arc::default(), move || log::CatchUp::new(&homeserver));
    let homeserver = app.clone();
    workers.start("last seen", Arc::default(), move || last_seen::Write::new(&homeserver));
    let homeserver = app.clone();
    let changed = app.services.member_events.signal();
    workers.start("member events", changed, move || member_events::Follow::new(&homeserver));
    let homeserver = app.clone();
    workers.follow("federation", move || federation::send(homeserver.clone()));
    let homeserver = app.clone();
    workers.start("media", Arc::default(), move || media::Collect::new(&homeserver));
    let homeserver = app.clone();
    workers.start("states", Arc::default(), move || states::Collect::new(&homeserver));
    let homeserver = app.clone();
    workers.start("unread", Arc::default(), move || unread::Persist::new(&homeserver));
    let homeserver = app.clone();
    workers.start("presence", Arc::default(), move || presence::Expire::new(&homeserver));
    let homeserver = app.clone();
    workers.follow("typing", move || typing::expire(homeserver.clone()));
}

/// Every worker of the process, one line each.
pub(crate) fn of_process(certificates: Option<Certificates>, workers: &Supervisor) {
    if let Some(files) = certificates {
        workers.start("certificates", Arc::default(), move || certificates::Reload::new(&files));
    }
}

/// What a worker wants after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is more to do.
    #[expect(dead_code, reason = "for followers of the log, which work in slices")]
    Again,
    /// Nothing until the signal, or until this much time has passed.
    Wait(Duration),
}

/// Does one kind of work, step by step. A step must be idempotent: it may be cut off by the end of
/// the process and be done again.
pub(crate) trait Worker: Send + 'static {
    fn step(&mut self) -> impl Future<Output = Next> + Send;
}

/// Keeps workers at work until it is told to stop.
#[derive(Clone)]
pub(crate) struct Supervisor {
    drain: CancellationToken,
    tasks: TaskTracker,
}

impl Supervisor {
    pub(crate) fn new(drain: CancellationToken) -> Self {
        Self { drain, tasks: TaskTracker::new() }
    }

    /// Starts a worker, and makes a new one whenever it panics.
    pub(crate) fn start<W: Worker>(
        &self,
        name: &'static str,
        signal: Arc<Notify>,
        make: impl Fn() -> W + Send + 'static,
    ) {
        let drain = self.drain.clone();
        let run = move || run(make(), signal.clone(), drain.clone());
        self.tasks.spawn(supervise(name, self.drain.clone(), run));
    }

    /// Starts a worker that is one long future, which may be dropped at any time: it only follows
    /// durable state.
    pub(crate) fn follow<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        make: impl Fn() -> F + Send + 'static,
    ) {
        let drain = self.drain.clone();
        let run = move || drain.clone().run_until_cancelled_owned(make()).map(|_| ());
        self.tasks.spawn(supervise(name, self.drain.clone(), run));
    }

    /// Waits until all workers have ended, which they do once the drain token is cancelled.
    pub(crate) async fn stopped(&self) {
        self.tasks.close();
        if timeout(STOP_TIME_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "some workers did not end in time");
        }
    }
}

async fn supervise<F: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    drain: CancellationToken,
    run: impl Fn() -> F + Send + 'static,
) {
    let mut pause = PAUSE_MIN;
    loop {
        let started = Instant::now();
        // A task of its own, so that a panic ends there.
        let Err(ended) = tokio::spawn(run()).await else { return };
        if !ended.is_panic() {
            return;
        }
        if started.elapsed() > PAUSE_MAX {
            pause = PAUSE_MIN;
        }
        tracing::error!(worker = name, pause_s = pause.as_secs(), "worker panicked");
        tokio::select! {
            () = drain.cancelled() => return,
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn run<W: Worker>(mut worker: W, signal: Arc<Notify>, drain: CancellationToken) {
    while !drain.is_cancelled() {
        // A signal during the step is kept, and ends the wait after it.
        match worker.step().await {
            Next::Again => tokio::task::yield_now().await,
            Next::Wait(time) => tokio::select! {
                () = drain.cancelled() => return,
                () = signal.notified() => {}
                () = sleep(time) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests;

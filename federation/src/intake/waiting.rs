//! Events that wait for other servers, and when each is tried again.

use std::{collections::BTreeMap, time::Duration};

use services::{
    rooms::receive::Patience,
    staged::{Staged, StagedKey},
};
use tokio::{sync::Notify, time::Instant};

/// The pause after the first attempt at an event; doubled with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10 * 60);
/// Attempts that insist on everything that an event stands on: a quarter of an hour. After that,
/// what is still missing is taken for lost: the server that could give it may be gone for good.
const STRICT_ATTEMPTS: u32 = 10;
/// Attempts at an event: some three hours.
const ATTEMPTS_MAX: u32 = 24;
/// Events of a room that may wait for other servers; what comes on top is tried once.
const WAITING_MAX: usize = 500;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was taken in, or was there before.
    Taken,
    /// It never will be taken in.
    Dropped,
    /// Another server was needed and did not help.
    Unhelped,
    /// Nobody who was asked has what it follows: not yet, or never.
    Withheld,
    /// The store did not take it.
    NotNow,
}

/// An event that waits for other servers.
#[derive(Clone)]
pub(super) struct Waiting {
    pub(super) staged: Staged,
    attempts: u32,
    next: Instant,
}

/// What a room's worker remembers.
#[derive(Default)]
pub(super) struct Progress {
    /// Everything up to here was looked at.
    pub(super) tried: Option<StagedKey>,
    pub(super) waiting: BTreeMap<StagedKey, Waiting>,
}

impl Waiting {
    /// It is tried at once.
    pub(super) fn new(staged: Staged) -> Self {
        Self { staged, attempts: 0, next: Instant::now() }
    }

    pub(super) fn patience(&self) -> Patience {
        match self.attempts < STRICT_ATTEMPTS {
            true => Patience::Strict,
            false => Patience::AtLast,
        }
    }

    /// Whether it is not tried again after an attempt that ended so.
    pub(super) fn is_over(&self, fate: Fate) -> bool {
        match fate {
            Fate::Taken | Fate::Dropped => true,
            Fate::Unhelped => self.attempts == ATTEMPTS_MAX,
            Fate::Withheld => self.attempts >= STRICT_ATTEMPTS,
            Fate::NotNow => false,
        }
    }

    /// Counts an attempt, and waits longer than after the last one.
    pub(super) fn postpone(&mut self) {
        let pause = PAUSE_MIN.saturating_mul(1 << self.attempts.min(16)).min(PAUSE_MAX);
        self.next = Instant::now() + pause;
        self.attempts += 1;
    }
}

impl Progress {
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    pub(super) fn due(&self) -> Vec<StagedKey> {
        let now = Instant::now();
        let due = self.waiting.iter().filter(|(_, waiting)| waiting.next <= now);
        due.map(|(key, _)| key.clone()).collect()
    }

    /// Waits until something came, or the next event is due.
    pub(super) async fn pause(&self, bell: &Notify) {
        if let Some(next) = self.waiting.values().map(|waiting| waiting.next).min() {
            // Whichever it was will be seen.
            let _rung = tokio::time::timeout_at(next, bell.notified()).await;
        }
    }
}

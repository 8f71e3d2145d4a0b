//! The time of a run: it stands still while anybody works, and jumps to the next moment at which
//! somebody wants to be woken.

use model::clock::Clock;
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z, when every run begins.
const BEGINNING_MS: u64 = 1_767_225_600_000;

/// A homeserver's wall clock: the run's time, a bit fast or slow.
pub struct SimulatedClock {
    began: Instant,
    skew_ms: i64,
}

impl SimulatedClock {
    pub fn new(began: Instant, skew_ms: i64) -> Self {
        Self { began, skew_ms }
    }
}

impl Clock for SimulatedClock {
    fn now_ms(&self) -> u64 {
        let passed_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        BEGINNING_MS.saturating_add(passed_ms).saturating_add_signed(self.skew_ms)
    }
}

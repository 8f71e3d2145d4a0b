//! Waiting for something to become true, with an end.

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a thing may take that usually takes a moment.
pub const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// Asks until there is an answer, and panics after a minute.
pub async fn eventually<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe).await
}

/// Asks until there is an answer, and panics after `patience`.
pub async fn within<T>(patience: Duration, what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    let answer = patiently(patience, probe).await;
    answer.unwrap_or_else(|| panic!("waited {patience:?} in vain: {what}"))
}

/// Asks until there is an answer, and gives up after `patience`.
pub async fn patiently<T>(
    patience: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        let answer = probe().await;
        if answer.is_some() || Instant::now() > deadline {
            return answer;
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

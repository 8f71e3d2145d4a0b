//! Whether other servers are well: how long one that failed is left alone, and how many requests
//! one has to bear at once.
//!
//! A server that fails is tried again after a second, then after twice as long each time, up to an
//! hour: someone who comes back after a night is noticed within the hour even if he says nothing,
//! and a dead server costs 24 attempts a day. One that has been silent for a week is tried once a
//! day. The first sign of life, in either direction, ends it.

use std::{collections::HashMap, sync::Arc};

use model::ids::Ids;
use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};
use services::{
    Context,
    destinations::{Destinations, DestinationsError, Failing},
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{client::RequestError, limits::Limits};

#[cfg(test)]
mod tests;

const FIRST_PAUSE_MS: u64 = 1_000;
const PAUSE_MS_MAX: u64 = 60 * 60 * 1_000;
/// A server that has failed for so long is tried only once in the longer pause.
const LOST_AFTER_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
const LOST_PAUSE_MS: u64 = 24 * 60 * 60 * 1_000;
/// Requests that one server has to answer for us at once.
const IN_FLIGHT_MAX: usize = 20;
/// A server that calls us while it does not answer our calls is not called more often than this.
const CONTACT_PAUSE_MS: u64 = 5_000;
/// Servers whose failures are remembered: users can name as many servers as they like.
const FAILING_MAX: usize = 50_000;

/// What one homeserver knows of how other servers are.
pub struct Contacts {
    context: Context,
    kept: Destinations,
    failing: Mutex<HashMap<OwnedServerName, Silence>>,
    in_flight: Limits,
    /// Told when a server that failed shows life.
    on_recovery: Mutex<Option<OnRecovery>>,
}

type OnRecovery = Box<dyn Fn(&ServerName) + Send + Sync>;

/// A server that does not answer.
#[derive(Clone, Copy)]
struct Silence {
    failing: Failing,
    /// The last failure; 0 when it was before the process started.
    failed_ms: u64,
}

impl Contacts {
    pub fn new(context: Context, kept: Destinations) -> Arc<Self> {
        Arc::new(Self {
            kept,
            context,
            failing: Mutex::default(),
            in_flight: Limits::new(IN_FLIGHT_MAX),
            on_recovery: Mutex::default(),
        })
    }

    /// Reads which servers failed before the process started.
    pub async fn load(&self) -> Result<(), DestinationsError> {
        let kept = self.kept.failing().await?;
        let mut failing = self.failing.lock();
        for (server, state) in kept {
            failing.entry(server).or_insert(Silence { failing: state, failed_ms: 0 });
        }
        Ok(())
    }

    /// Names who is told when a server that failed shows life.
    pub fn on_recovery(&self, tell: impl Fn(&ServerName) + Send + Sync + 'static) {
        *self.on_recovery.lock() = Some(Box::new(tell));
    }

    /// When the server may be called again, if that is not now.
    pub fn paused_until(&self, server: &ServerName) -> Option<u64> {
        let failing = self.failing.lock().get(server)?.failing;
        (failing.retry_at_ms > self.context.clock.now_ms()).then_some(failing.retry_at_ms)
    }

    /// Whether the server failed when it was called last.
    pub fn is_failing(&self, server: &ServerName) -> bool {
        self.failing.lock().contains_key(server)
    }

    /// Refuses while the server is left alone.
    pub fn may_call(&self, server: &ServerName) -> Result<(), RequestError> {
        match self.paused_until(server) {
            Some(until_ms) => Err(RequestError::BackingOff { until_ms }),
            None => Ok(()),
        }
    }

    /// Waits until the server has few enough of our requests to answer.
    pub async fn permit(&self, server: &ServerName) -> Option<OwnedSemaphorePermit> {
        self.in_flight.permit(server).await
    }

    /// The server answered a request of ours.
    pub async fn answered(&self, server: &ServerName) {
        if self.failing.lock().remove(server).is_some() {
            self.recovered(server).await;
        }
    }

    /// The server made a request that it signed itself: it lives, and is called at once.
    pub async fn heard_from(&self, server: &ServerName) {
        {
            let mut all = self.failing.lock();
            let Some(silence) = all.get_mut(server) else { return };
            let next_ms = silence.failed_ms.saturating_add(CONTACT_PAUSE_MS);
            if next_ms > self.context.clock.now_ms() {
                silence.failing.retry_at_ms = silence.failing.retry_at_ms.min(next_ms);
                return;
            }
            all.remove(server);
        }
        self.recovered(server).await;
    }

    async fn recovered(&self, server: &ServerName) {
        if let Err(error) = self.kept.set_failing(server, None).await {
            tracing::error!(%error, "a server's recovery could not be kept");
        }
        if let Some(tell) = &*self.on_recovery.lock() {
            tell(server);
        }
    }

    /// A request that began at `started_ms` got no answer.
    pub async fn failed(&self, server: &ServerName, started_ms: u64) {
        let now_ms = self.context.clock.now_ms();
        let failing = {
            let mut all = self.failing.lock();
            let before = all.get(server).map(|silence| silence.failing);
            if before.is_none() && all.len() >= FAILING_MAX {
                return;
            }
            // Requests that were under way together fail together: that is one failure.
            if before.is_some_and(|before| started_ms < before.retry_at_ms) {
                return;
            }
            let failing = after_failure(before, now_ms, &*self.context.ids);
            all.insert(server.to_owned(), Silence { failing, failed_ms: now_ms });
            failing
        };
        tracing::info!(%server, failures = failing.failures, "the server does not answer");
        if let Err(error) = self.kept.set_failing(server, Some(failing)).await {
            tracing::error!(%error, "a server's failure could not be kept");
        }
    }
}

/// How a server is left alone after one failure more.
fn after_failure(before: Option<Failing>, now_ms: u64, ids: &dyn Ids) -> Failing {
    let failures = before.map_or(0, |before| before.failures).saturating_add(1);
    let since_ms = before.map_or(now_ms, |before| before.since_ms);
    let pause_ms = if now_ms.saturating_sub(since_ms) >= LOST_AFTER_MS {
        LOST_PAUSE_MS
    } else {
        let doublings = failures.saturating_sub(1).min(32);
        FIRST_PAUSE_MS.saturating_mul(1 << doublings).min(PAUSE_MS_MAX)
    };
    Failing { failures, since_ms, retry_at_ms: now_ms.saturating_add(jittered(pause_ms, ids)) }
}

/// Between three and five quarters of it, so that those who fell silent together are not tried
/// together.
fn jittered(pause_ms: u64, ids: &dyn Ids) -> u64 {
    pause_ms - pause_ms / 4 + ids.number() % (pause_ms / 2 + 1)
}

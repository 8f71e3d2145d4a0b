//! What a stretch of work cost.

use harness::{Server, within};
use std::time::Duration;
use tokio::time::Instant;

/// For a server that is to come to rest.
const REST_TIME_MAX: Duration = Duration::from_secs(120);
/// So long it must have done next to nothing.
const REST: Duration = Duration::from_secs(1);
/// Of one processor.
const REST_PERCENT_MAX: u32 = 3;

/// Runs from its making to [`Meter::read`].
pub(crate) struct Meter<'a> {
    servers: Vec<&'a Server>,
    cpu: Duration,
    started: Instant,
}

/// What it cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Processor time of all the servers, user and system.
    cpu: Duration,
    wall: Duration,
}

impl<'a> Meter<'a> {
    pub(crate) fn of(servers: &[&'a Server]) -> Self {
        let servers = servers.to_vec();
        Self { cpu: cpu_time(&servers), servers, started: Instant::now() }
    }

    pub(crate) fn read(&self) -> Cost {
        Cost { wall: self.started.elapsed(), cpu: cpu_time(&self.servers) - self.cpu }
    }
}

impl Cost {
    /// Microseconds of processor time for each of `count` things.
    pub(crate) fn cpu_each(&self, count: u64) -> f64 {
        micros(self.cpu) / count as f64
    }

    /// Of `count` things, per second of wall time.
    pub(crate) fn rate(&self, count: u64) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }
}

/// Waits until the server does nothing any more, so that what comes next is measured alone: a store
/// goes on sorting what was written.
pub(crate) async fn rested(server: &Server) {
    let mut meter = Meter::of(&[server]);
    within(REST_TIME_MAX, "the server comes to rest", async || {
        if meter.started.elapsed() < REST {
            return None;
        }
        let cost = meter.read();
        meter = Meter::of(&[server]);
        (cost.cpu * 100 <= cost.wall * REST_PERCENT_MAX).then_some(())
    })
    .await
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn cpu_time(servers: &[&Server]) -> Duration {
    servers.iter().map(|server| server.process().cpu_time()).sum()
}

//! What a stretch of work cost.

use harness::Server;
use std::time::Duration;
use tokio::time::Instant;

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

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn cpu_time(servers: &[&Server]) -> Duration {
    servers.iter().map(|server| server.process().cpu_time()).sum()
}

//! Rate limits: how often somebody may do something.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::DashMapStateStore,
};

use crate::Error;

/// Keys that are remembered before those that no longer matter are swept out.
const KEYS_BEFORE_SWEEP: usize = 10_000;

/// Keys that are remembered at most. When so many are over their limit at once, strangers must
/// wait: forgetting keys would let an attacker with many addresses lift the limit.
const KEYS_MAX: usize = 200_000;

/// So many times at once, refilled at so many per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    pub burst: NonZeroU32,
}

/// One limit for each key: a user, an address, a destination.
pub struct RateLimit<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    limiter: RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
}

impl<K: Hash + Eq + Clone> RateLimit<K> {
    pub fn new(rate: Rate) -> Self {
        Self::with_clock(rate, DefaultClock::default())
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> RateLimit<K, C> {
    pub fn with_clock(rate: Rate, clock: C) -> Self {
        let limiter = RateLimiter::new(quota(rate), DashMapStateStore::default(), clock.clone());
        Self { limiter, clock }
    }

    /// Counts one more, or says how long to wait.
    pub fn check(&self, key: &K) -> Result<(), Error> {
        if self.limiter.len() >= KEYS_BEFORE_SWEEP {
            self.sweep()?;
        }
        self.limiter.check_key(key).map_err(|until| self.refusal(&until))
    }

    fn refusal(&self, until: &NotUntil<C::Instant>) -> Error {
        Error::limit_exceeded(until.wait_time_from(self.clock.now()))
    }

    fn sweep(&self) -> Result<(), Error> {
        self.limiter.retain_recent();
        if self.limiter.len() >= KEYS_MAX {
            return Err(Error::limit_exceeded(Duration::from_secs(1)));
        }
        Ok(())
    }
}

fn quota(rate: Rate) -> Quota {
    // Slower than once in a day is taken as once in a day; the bounds keep the arithmetic sound.
    let period = Duration::from_secs_f64((1.0 / rate.per_second).clamp(1e-6, 86_400.0));
    Quota::with_period(period)
        .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
        .allow_burst(rate.burst)
}

/// An address as a limit should see it: a single customer has a whole IPv6 /64.
pub fn limited_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

#[cfg(test)]
mod tests;

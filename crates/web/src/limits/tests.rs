//! Limits on a clock that stands still until it is moved.

use std::{num::NonZeroU32, time::Duration};

use governor::clock::FakeRelativeClock;
use http::StatusCode;

use super::{KEYS_BEFORE_SWEEP, Rate, RateLimit, limited_address};

fn limit(per_second: f64, burst: u32) -> (RateLimit<u32, FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    let rate = Rate { per_second, burst: NonZeroU32::new(burst).unwrap() };
    (RateLimit::with_clock(rate, clock.clone()), clock)
}

#[test]
fn a_burst_passes_and_the_next_is_told_when_to_come_back() {
    let (limit, clock) = limit(0.5, 2);
    assert!(limit.check(&1).is_ok());
    assert!(limit.check(&1).is_ok());
    let refused = limit.check(&1).unwrap_err();
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.body()["retry_after_ms"], 2_000);
    clock.advance(Duration::from_secs(2));
    assert!(limit.check(&1).is_ok());
}

#[test]
fn keys_do_not_share_a_limit() {
    let (limit, _) = limit(1.0, 1);
    assert!(limit.check(&1).is_ok());
    assert!(limit.check(&2).is_ok());
    assert!(limit.check(&1).is_err());
}

#[test]
fn keys_that_no_longer_matter_are_forgotten() {
    let (limit, clock) = limit(1.0, 1);
    for key in 0..KEYS_BEFORE_SWEEP as u32 {
        limit.check(&key).unwrap();
    }
    clock.advance(Duration::from_secs(10));
    limit.check(&u32::MAX).unwrap();
    assert_eq!(limit.limiter.len(), 1);
}

#[test]
fn a_very_slow_rate_is_still_a_rate() {
    let (limit, clock) = limit(0.0, 1);
    assert!(limit.check(&1).is_ok());
    clock.advance(Duration::from_secs(3_600));
    assert!(limit.check(&1).is_err());
}

#[test]
fn one_ipv6_customer_is_one_key() {
    let key = |text: &str| limited_address(text.parse().unwrap()).to_string();
    assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
    assert_eq!(key("192.0.2.1"), "192.0.2.1");
}

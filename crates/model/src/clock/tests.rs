//! The two clocks.

use super::*;

#[test]
fn the_system_clock_is_past_the_day_this_was_written() {
    assert!(SystemClock.now_ms() > 1_767_225_600_000);
}

#[test]
fn a_manual_clock_moves_only_when_told_and_its_clones_with_it() {
    let clock = ManualClock::at(1_000);
    let same: Arc<dyn Clock> = Arc::new(clock.clone());
    assert_eq!(same.now_ms(), 1_000);
    clock.advance(Duration::from_secs(2));
    assert_eq!(same.now_ms(), 3_000);
    clock.set(500);
    assert_eq!(same.now_ms(), 500);
}

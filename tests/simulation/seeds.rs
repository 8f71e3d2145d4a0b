//! Which seeds are run.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use crate::run::{self, Outcome, Sabotage};

/// Seeds of every test run.
const SEEDS: usize = 500;
/// Where counting begins.
const FIRST: u64 = 1;

/// Runs the seeds on all cores; each run is one thread.
fn outcomes(seeds: std::ops::Range<u64>) -> Vec<Outcome> {
    let next = AtomicU64::new(seeds.start);
    let outcomes = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let mut outcome = run::seed(seed, false, None);
                    outcome.story.clear();
                    for complaint in &outcome.complaints {
                        println!("KONTOR_SEED={seed}: {complaint}");
                    }
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

#[test]
fn whatever_happens_all_become_one_and_nothing_is_lost() {
    if let Some(seed) = harness::chosen_seed() {
        let outcome = run::seed(seed, true, None);
        assert!(outcome.complaints.is_empty(), "{:#?}", outcome.complaints);
        return;
    }
    let count = harness::number("KONTOR_SEEDS", SEEDS) as u64;
    let outcomes = outcomes(FIRST..FIRST + count);
    let bad: Vec<u64> =
        outcomes.iter().filter(|o| !o.complaints.is_empty()).map(|o| o.seed).collect();
    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    println!(
        "{} seeds: {} acknowledged, {} events kept, {} of them soft-failed, {} states compared, {} events shown",
        outcomes.len(),
        sum(|o| o.counts.acknowledged),
        sum(|o| o.counts.events),
        sum(|o| o.counts.soft_failed),
        sum(|o| o.counts.states_compared),
        sum(|o| o.counts.shown),
    );
    assert!(bad.is_empty(), "{} seeds fail: {bad:?}", bad.len());
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in [3, 14, 15] {
        assert_eq!(run::seed(seed, false, None).story, run::seed(seed, false, None).story);
    }
}

#[test]
fn a_network_that_lies_about_transactions_is_caught() {
    let lost =
        |seed| !run::seed(seed, false, Some(Sabotage::LoseTransactions)).complaints.is_empty();
    assert!((1..=20).any(lost));
}

#[test]
fn a_homeserver_that_shows_everything_is_caught() {
    let seen = |seed| !run::seed(seed, false, Some(Sabotage::ShowEverything)).complaints.is_empty();
    assert!((1..=20).any(seen));
}

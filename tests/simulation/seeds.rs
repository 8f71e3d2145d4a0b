//! Which seeds are run.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use crate::run::{self, Outcome, Sabotage};

/// Seeds of every test run.
const SEEDS: usize = 500;
/// Where counting begins.
const FIRST: usize = 1;
/// Seeds that found a bug, and which. They are among those that always run.
const FOUND: [(u64, &str); 20] = [
    (40, "an event was dropped when the keys of its server could not be had"),
    (51, "an event was dropped when the keys of its server could not be had"),
    (9, "an event was dropped when its past could not be had"),
    (39, "an event was dropped when its past could not be had"),
    (24, "a redaction that came before its event had no effect"),
    (32, "a redaction that came before its event had no effect"),
    (7, "a redaction was judged by the present power of its sender"),
    (115, "a redaction was judged by the present power of its sender"),
    (10, "state was served redacted"),
    (61, "a gap was filled with history, and history judged as news"),
    (112, "a gap was filled with history, and history judged as news"),
    (117, "a gap was filled with history, and history judged as news"),
    (137, "a server was not told of what put it out of a room"),
    (139, "a server was not told of what put it out of a room"),
    (99, "what was said before a leave was not sent after the return; the join lost to the leave"),
    (17, "a slow leave overtook the join after it"),
    (68, "two joins at once undid each other"),
    (25, "events that came before a join had ended were dropped"),
    (208, "a join while a server was away left out its events; there are notaries now"),
    (250, "a ban that came late lengthened a stay"),
];

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
                    outcomes.lock().expect("no run panics").push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().expect("no run panics")
}

#[test]
fn whatever_happens_all_become_one_and_nothing_is_lost() {
    if let Some(seed) = harness::chosen_seed() {
        let outcome = run::seed(seed, true, None);
        assert!(outcome.complaints.is_empty(), "{:#?}", outcome.complaints);
        return;
    }
    let count = harness::number("KONTOR_SEEDS", SEEDS) as u64;
    let first = harness::number("KONTOR_FIRST_SEED", FIRST) as u64;
    let outcomes = outcomes(first..first + count);
    let bad: Vec<u64> =
        outcomes.iter().filter(|o| !o.complaints.is_empty()).map(|o| o.seed).collect();
    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    println!(
        "{} seeds: {} acknowledged, {} events kept, {} of them soft-failed, {} states compared, {} events shown; \
         {} homeservers put out of rooms without a way to tell them",
        outcomes.len(),
        sum(|o| o.counts.acknowledged),
        sum(|o| o.counts.events),
        sum(|o| o.counts.soft_failed),
        sum(|o| o.counts.states_compared),
        sum(|o| o.counts.shown),
        sum(|o| o.counts.put_out_silently),
    );
    for seed in &bad {
        let known = FOUND.iter().find(|(found, _)| found == seed);
        println!("KONTOR_SEED={seed} fails: {}", known.map_or("", |(_, bug)| bug));
    }
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

#[test]
fn a_disk_that_lies_about_syncing_is_caught() {
    let lost = |seed| !run::seed(seed, false, Some(Sabotage::LoseWrites)).complaints.is_empty();
    assert!((1..=20).any(lost));
}

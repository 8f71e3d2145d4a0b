//! `kill -9` and power cuts at random moments under load: nothing that was acknowledged is lost,
//! and nothing that is tried again happens twice. A server of another company talks to the one
//! that dies all the time.
//!
//! `KONTOR_CRASH_ROUNDS` says how often, `KONTOR_SEED` repeats a run's moments; `make crash` is a
//! long run.

#[path = "crash/company.rs"]
mod company;
#[path = "crash/fate.rs"]
mod fate;
#[path = "crash/ledger.rs"]
mod ledger;
#[path = "crash/round.rs"]
mod round;
#[path = "crash/verify.rs"]
mod verify;
#[path = "crash/worker.rs"]
mod worker;

use company::Company;
use fate::Fate;
use futures_util::FutureExt;
use harness::{Disk, number, seed};
use rand::{SeedableRng, rngs::StdRng};
use std::panic::AssertUnwindSafe;

/// Rounds of a short run.
const KILLS: usize = 20;
const POWER_CUTS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    survives(Fate::Kill, Vec::new(), KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged() {
    let Some(disk) = Disk::format() else {
        println!("without the right to mount there are no power cuts");
        return;
    };
    survives(Fate::PowerCut(disk), Vec::new(), POWER_CUTS).await;
}

/// The control: the same without syncing must lose something, and it must be noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_syncing_a_power_cut_is_seen_to_lose_something() {
    let Some(disk) = Disk::format() else { return };
    let careless = vec![Disk::without_sync()];
    let run = AssertUnwindSafe(survives(Fate::PowerCut(disk), careless, POWER_CUTS));
    assert!(run.catch_unwind().await.is_err(), "nothing was noticed");
}

async fn survives(mut fate: Fate, environment: Vec<(String, String)>, rounds: usize) {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut company = Company::found(&fate, environment).await;
    for round in 0..number("KONTOR_CRASH_ROUNDS", rounds) {
        let ledgers = round::run(&mut company, &mut fate, &mut rng).await;
        let acknowledged = ledgers.iter().map(ledger::Ledger::acknowledged).sum::<usize>();
        println!("round {round}: {acknowledged} acknowledged");
        verify::all(&mut company, &ledgers).await;
    }
    verify::everything_of_all_rounds(&company).await;
}

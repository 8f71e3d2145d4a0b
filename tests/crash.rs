//! `kill -9` at random moments under load: nothing that was acknowledged is lost, and nothing
//! that is tried again happens twice.
//!
//! `KONTOR_CRASH_ROUNDS` says how often, `KONTOR_SEED` repeats a run's moments.

#[path = "crash/ledger.rs"]
mod ledger;
#[path = "crash/round.rs"]
mod round;
#[path = "crash/verify.rs"]
mod verify;
#[path = "crash/worker.rs"]
mod worker;

use harness::{Authority, Kind, Options, Server, number, seed};
use rand::{SeedableRng, rngs::StdRng};
use round::Staff;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    let mut rng = StdRng::seed_from_u64(seed());
    let kind = Kind::under_test(env!("CARGO_BIN_EXE_kontor"));
    let authority = Arc::new(Authority::new());
    let mut server = Server::started(kind, &authority, Options::default()).await;
    let mut staff = Staff::hire(&server).await;
    for round in 0..number("KONTOR_CRASH_ROUNDS", 20) {
        let ledgers = round::run(&mut server, &mut staff, &mut rng).await;
        let acknowledged = ledgers.iter().map(ledger::Ledger::acknowledged).sum::<usize>();
        println!("round {round}: {acknowledged} acknowledged");
        verify::all(&mut staff, &ledgers).await;
    }
    verify::everything_of_all_rounds(&staff).await;
}

//! The law of /sync, from outside: folding incremental answers into what a client had equals a
//! fresh initial sync.
//!
//! Users act at random in common rooms, and their devices sync at random moments through several
//! filters. `KONTOR_SEED` repeats a run, `KONTOR_FOLD_WORLDS` and `KONTOR_FOLD_STEPS` lengthen
//! it, and `TARGET=synapse` holds Synapse to the same law: a control of the test itself.

#[path = "sync_fold/actions.rs"]
mod actions;
#[path = "sync_fold/crowd.rs"]
mod crowd;

use crowd::Crowd;
use harness::{Authority, Kind, Options, Server, number, seed};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::sync::Arc;

#[tokio::test]
async fn folded_incremental_syncs_equal_a_fresh_initial_sync() {
    let mut seeds = StdRng::seed_from_u64(seed());
    let worlds = number("KONTOR_FOLD_WORLDS", 5);
    let steps = number("KONTOR_FOLD_STEPS", 150);
    let kind = Kind::under_test(env!("CARGO_BIN_EXE_kontor"));
    let authority = Arc::new(Authority::new());
    let server = Server::started(kind, &authority, Options::default()).await;
    for world in 0..worlds {
        println!("world {world}");
        let rng = StdRng::seed_from_u64(seeds.random());
        let mut crowd = Crowd::new(&server, world, rng).await;
        for _ in 0..steps {
            crowd.step().await;
        }
        crowd.check().await;
    }
}

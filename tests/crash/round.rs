//! One round: work, a kill at a random moment, a restart.

use crate::{
    ledger::Ledger,
    worker::{Place, Worker},
};
use harness::{Account, Server, View};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

const WORKERS: usize = 4;
const MOMENT_MS: std::ops::Range<u64> = 50..1_500;

/// The people, who outlive every crash with their tokens and views.
#[derive(Debug)]
pub struct Staff {
    pub workers: Vec<Worker>,
    /// Gets all to-device messages.
    pub sink: Worker,
    /// Where the workers work this time.
    pub place: Place,
    /// The books of all rounds so far, per worker.
    pub archive: Vec<(usize, Ledger)>,
}

impl Staff {
    /// Registers everybody.
    pub async fn hire(server: &Server) -> Self {
        let worker = |account: Account| Worker { account, view: View::default() };
        let sink = worker(server.register("sink").await);
        let mut workers = Vec::new();
        for number in 0..WORKERS {
            workers.push(worker(server.register(&format!("worker{number}")).await));
        }
        let to = (sink.account.user_id.clone(), sink.account.device_id.clone());
        let place = Place { room: String::new(), club: String::new(), to };
        Self { workers, sink, place, archive: Vec::new() }
    }

    /// New rooms, so that a round is checked by what happened in it.
    async fn move_on(&mut self) {
        let public = json!({ "preset": "public_chat", "power_level_content_override": {
            "events": { crate::worker::STATE: 0 },
        } });
        self.place.room = self.sink.account.create_room(&public).await;
        self.place.club = self.sink.account.create_room(&public).await;
        for worker in &self.workers {
            worker.account.join(&self.place.room, &[]).await;
        }
    }
}

/// Works until the server is killed, starts it again, and returns the books of each worker.
pub async fn run(server: &mut Server, staff: &mut Staff, rng: &mut StdRng) -> Vec<Ledger> {
    staff.move_on().await;
    let mut work = JoinSet::new();
    for (number, worker) in staff.workers.drain(..).enumerate() {
        let (place, rng) = (staff.place.clone(), StdRng::seed_from_u64(rng.random()));
        work.spawn(async move {
            let mut worker = worker;
            let ledger = worker.work(place, rng).await;
            (number, worker, ledger)
        });
    }
    let moment = Duration::from_millis(rng.random_range(MOMENT_MS));
    let early = tokio::time::timeout(moment, work.join_next()).await;
    assert!(early.is_err(), "a worker ended before the kill: {early:?}");
    server.kill();
    let mut done = work.join_all().await;
    server.start().await;
    done.sort_by_key(|(number, ..)| *number);
    let mut ledgers = Vec::new();
    for (number, worker, ledger) in done {
        staff.workers.push(worker);
        staff.archive.push((number, ledger.clone()));
        ledgers.push(ledger);
    }
    ledgers
}

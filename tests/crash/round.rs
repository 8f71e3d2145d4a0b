//! One round: work, a crash at a random moment, a restart.

use crate::{company::Company, fate::Fate, ledger::Ledger};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;
use tokio::{sync::watch, task::JoinSet};

const MOMENT_MS: std::ops::Range<u64> = 50..1_500;

/// Works until the server is struck, starts it again, and returns the books of each worker; those
/// of the partner, whose server stays up, come last.
pub async fn run(company: &mut Company, fate: &mut Fate, rng: &mut StdRng) -> Vec<Ledger> {
    company.move_on().await;
    let (stop, stopped) = watch::channel(false);
    let partner = {
        let (partner, place) = (company.partner.clone(), company.place.clone());
        let rng = StdRng::seed_from_u64(rng.random());
        tokio::spawn(async move { partner.talk(place, rng, stopped).await })
    };
    let mut work = JoinSet::new();
    for (number, worker) in company.workers.drain(..).enumerate() {
        let (place, rng) = (company.place.clone(), StdRng::seed_from_u64(rng.random()));
        work.spawn(async move {
            let mut worker = worker;
            let ledger = worker.work(place, rng).await;
            (number, worker, ledger)
        });
    }
    let moment = Duration::from_millis(rng.random_range(MOMENT_MS));
    let early = tokio::time::timeout(moment, work.join_next()).await;
    assert!(early.is_err(), "a worker ended before the crash: {early:?}");
    fate.strike(&mut company.server).await;
    let mut done = work.join_all().await;
    stop.send(true).expect("the partner talks");
    done.sort_by_key(|(number, ..)| *number);
    let mut ledgers = Vec::new();
    for (_, worker, ledger) in done {
        company.workers.push(worker);
        ledgers.push(ledger);
    }
    ledgers.push(partner.await.expect("the partner's books"));
    company.archive.extend(ledgers.iter().cloned());
    ledgers
}

//! One send at a time, beside one sync of this disk at a time: what is left is the server's own.

use super::Workload;
use crate::{
    disk,
    figure::{Figure, Measure, Unit, quantile},
    meter::millis,
    room::{door, people, room_of},
    target::Bench,
};
use tokio::time::Instant;

pub(crate) static P50: Measure =
    Measure { title: "lone send: p50", unit: Unit::Milliseconds, over: None };
pub(crate) static P99: Measure =
    Measure { title: "lone send: p99", unit: Unit::Milliseconds, over: None };
pub(crate) static SYNC: Measure =
    Measure { title: "one sync of this disk: p50", unit: Unit::Milliseconds, over: None };
pub(crate) static OVER: Measure = Measure {
    title: "lone send: p50 above one sync of this disk",
    unit: Unit::Milliseconds,
    over: None,
};

pub(crate) const WORKLOAD: Workload = Workload { name: "lone", run: |bench| Box::pin(run(bench)) };

async fn run(bench: Bench) -> Vec<Figure> {
    let server = bench.server().await;
    let mut people = people(&door(&server), "p", 2).await;
    let room = room_of(&mut people).await;
    let before = disk::sync_time(server.folder());
    let mut times = Vec::new();
    for _ in 0..bench.times(2_000) {
        let started = Instant::now();
        people[0].say(&room).await;
        times.push(millis(started.elapsed()));
    }
    // The disk is shared with others, so it is asked before and after.
    let sync = f64::midpoint(before, disk::sync_time(server.folder()));
    let p50 = quantile(&mut times, 0.5);
    vec![P50.is(p50), P99.is(quantile(&mut times, 0.99)), SYNC.is(sync), OVER.is(p50 - sync)]
}

//! From one homeserver to another: two processes over TLS, or two companies of one process.

use super::Workload;
use crate::{
    figure::{Figure, Measure, Unit, quantile},
    meter::{Meter, millis},
    person::{Door, Person, find, next_batch},
    room::{connections, door, people},
    target::Bench,
};
use futures_util::future::join_all;
use harness::Server;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const SENDERS: u64 = 8;
const POLL_MS: u64 = 10_000;
/// Federation that has not delivered by then does not work.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) static CPU: Measure = Measure {
    title: "federated delivery, two servers: CPU of both, each event",
    unit: Unit::Microseconds,
    over: None,
};
pub(crate) static RATE: Measure =
    Measure { title: "federated delivery, two servers", unit: Unit::PerSecond, over: None };
pub(crate) static P50: Measure = Measure {
    title: "federated delivery, two servers, send → /sync: p50",
    unit: Unit::Milliseconds,
    over: None,
};
pub(crate) static P99: Measure = Measure {
    title: "federated delivery, two servers, send → /sync: p99",
    unit: Unit::Milliseconds,
    over: None,
};
pub(crate) static WITHIN_CPU: Measure = Measure {
    title: "federated delivery, companies of one process: CPU each event",
    unit: Unit::Microseconds,
    over: None,
};
pub(crate) static WITHIN_RATE: Measure = Measure {
    title: "federated delivery, companies of one process",
    unit: Unit::PerSecond,
    over: None,
};
pub(crate) static WITHIN_P50: Measure = Measure {
    title: "federated delivery, companies of one process, send → /sync: p50",
    unit: Unit::Milliseconds,
    over: None,
};
pub(crate) static WITHIN_P99: Measure = Measure {
    title: "federated delivery, companies of one process, send → /sync: p99",
    unit: Unit::Milliseconds,
    over: None,
};

pub(crate) const WORKLOAD: Workload =
    Workload { name: "federation", run: |bench| Box::pin(run(bench)) };

async fn run(bench: Bench) -> Vec<Figure> {
    let (here, there) = (bench.server().await, bench.server().await);
    let found = deliver(&bench, &[&here, &there], &door(&here), &door(&there)).await;
    let mut figures = [&CPU, &RATE, &P50, &P99].into_iter().zip(found).collect::<Vec<_>>();
    drop((here, there));
    if bench.is_kontor() {
        let both = bench.server_with(2).await;
        let other = Door { name: both.names()[1].clone(), ..door(&both) };
        let found = deliver(&bench, &[&both], &door(&both), &other).await;
        figures
            .extend([&WITHIN_CPU, &WITHIN_RATE, &WITHIN_P50, &WITHIN_P99].into_iter().zip(found));
    }
    figures.into_iter().map(|(measure, value)| measure.is(value)).collect()
}

/// CPU for each event, events per second; p50 and p99 of a lone one.
async fn deliver(bench: &Bench, servers: &[&Server], here: &Door, there: &Door) -> [f64; 4] {
    let mut alice = people(here, "alice", 1).await.remove(0);
    let mut bob = people(there, "bob", 1).await.remove(0);
    let room = alice.create_room().await;
    bob.join(&room, Some(&here.name)).await;
    let mut since = bob.synced().await;
    // The first one opens connections and fetches keys.
    let warm = alice.say(&room).await;
    until(&mut bob, &mut since, &warm).await;

    let mut times = Vec::new();
    for _ in 0..bench.times(1_000) {
        let started = Instant::now();
        let event = alice.say(&room).await;
        until(&mut bob, &mut since, &event).await;
        times.push(millis(started.elapsed()));
    }
    let each = (bench.times(16_000) / SENDERS).max(4);
    let meter = Meter::of(servers);
    let senders = connections(std::slice::from_ref(&alice), SENDERS);
    join_all(senders.into_iter().map(async |mut person| {
        for _ in 0..each {
            person.say(&room).await;
        }
    }))
    .await;
    let last = alice.say(&room).await;
    until(&mut bob, &mut since, &last).await;
    let (cost, sent) = (meter.read(), each * SENDERS + 1);
    [cost.cpu_each(sent), cost.rate(sent), quantile(&mut times, 0.5), quantile(&mut times, 0.99)]
}

/// Syncs until this event is there.
async fn until(person: &mut Person, since: &mut String, event: &str) {
    let waiting = async {
        loop {
            let answer = person.sync(since, POLL_MS).await;
            *since = next_batch(&answer);
            if find(&answer, event.as_bytes()).is_some() {
                return;
            }
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{event} was not delivered"));
}

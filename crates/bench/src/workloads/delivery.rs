//! From a send to the others' /sync: one sender, nine who always hang in a long-poll.
//!
//! The next message is sent the moment that the last of them has this one, so that it races with
//! their coming back: a server that loses a wake-up then leaves somebody waiting, and is counted.

use super::Workload;
use crate::{
    disk,
    figure::{Figure, Measure, Unit, quantile},
    meter::{Meter, millis},
    person::{Person, find, next_batch},
    room::{connections, door, people, room_of},
    target::Bench,
};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, timeout},
};

const LISTENERS: u64 = 9;
/// A wake-up that did not come within this time was lost.
const LOST: Duration = Duration::from_secs(5);
const POLL_MS: u64 = 10_000;

pub(crate) static FIRST: Measure =
    Measure {
        title: "send → first of 9 others has it: p50", unit: Unit::Milliseconds, over: None
    };
pub(crate) static P50: Measure =
    Measure { title: "send → another's /sync: p50", unit: Unit::Milliseconds, over: None };
pub(crate) static P99: Measure =
    Measure { title: "send → another's /sync: p99", unit: Unit::Milliseconds, over: None };
pub(crate) static OVER: Measure = Measure {
    title: "send → another's /sync: p50 above one sync of this disk",
    unit: Unit::Milliseconds,
    over: None,
};
pub(crate) static CPU: Measure = Measure {
    title: "send with 9 others in a long-poll: CPU each",
    unit: Unit::Microseconds,
    over: None,
};
pub(crate) static LOST_WAKE_UPS: Measure =
    Measure { title: "lost wake-ups", unit: Unit::Count, over: None };
pub(crate) static WAKE_UPS: Measure =
    Measure { title: "wake-ups that could have been lost", unit: Unit::Count, over: None };

pub(crate) const WORKLOAD: Workload =
    Workload { name: "delivery", run: |bench| Box::pin(run(bench)) };

async fn run(bench: Bench) -> Vec<Figure> {
    let server = bench.server().await;
    let mut people = people(&door(&server), "p", LISTENERS + 1).await;
    let room = room_of(&mut people).await;
    let (seen, mut sightings) = unbounded_channel();
    let mut listening = Vec::new();
    for mut person in connections(&people[1..], LISTENERS) {
        let since = person.synced().await;
        listening.push(tokio::spawn(listen(person, since, seen.clone())));
    }
    let rounds = bench.times(12_000);
    let (mut times, mut first, mut lost) = (Vec::new(), Vec::new(), 0);
    let before = disk::sync_time(server.folder());
    let meter = Meter::of(&[&server]);
    for _ in 0..rounds {
        let started = Instant::now();
        let event = people[0].say(&room).await;
        let round = await_all(&mut sightings, &event, started).await;
        lost += LISTENERS - round.len() as u64;
        first.extend(round.first());
        times.extend(round);
    }
    let cost = meter.read();
    let sync = f64::midpoint(before, disk::sync_time(server.folder()));
    join_all(listening.into_iter().map(async |task| task.abort())).await;
    vec![
        FIRST.is(quantile(&mut first, 0.5)),
        P50.is(quantile(&mut times, 0.5)),
        OVER.is(quantile(&mut times, 0.5) - sync),
        P99.is(quantile(&mut times, 0.99)),
        CPU.is(cost.cpu_each(rounds)),
        LOST_WAKE_UPS.is(lost as f64),
        WAKE_UPS.is((rounds * LISTENERS) as f64),
    ]
}

/// What one listener saw, and when.
struct Sighting {
    event_id: String,
    at: Instant,
}

/// How long it took until each listener had the event.
async fn await_all(
    sightings: &mut UnboundedReceiver<Sighting>,
    event: &str,
    started: Instant,
) -> Vec<f64> {
    let mut times = Vec::new();
    while times.len() < LISTENERS as usize {
        match timeout(LOST, sightings.recv()).await {
            // What comes late was counted as lost already.
            Ok(Some(seen)) if seen.event_id != event => {}
            Ok(Some(seen)) => times.push(millis(seen.at - started)),
            Ok(None) | Err(_) => return times,
        }
    }
    times
}

async fn listen(mut person: Person, mut since: String, seen: UnboundedSender<Sighting>) {
    loop {
        let answer = person.sync(&since, POLL_MS).await;
        let at = Instant::now();
        since = next_batch(&answer);
        for event_id in event_ids(&answer) {
            if seen.send(Sighting { event_id, at }).is_err() {
                return;
            }
        }
    }
}

/// The ids of the events in an answer, found without parsing it.
fn event_ids(answer: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\"event_id\":\"";
    let mut ids = Vec::new();
    let mut rest = answer;
    while let Some(at) = find(rest, KEY) {
        rest = &rest[at + KEY.len()..];
        let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
        ids.push(String::from_utf8_lossy(&rest[..end]).into_owned());
    }
    ids
}

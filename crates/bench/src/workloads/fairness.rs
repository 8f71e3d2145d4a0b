//! What a quiet company notices of others: of a company in the same process that writes at full speed,
//! of a peer that never answers while events for it queue up, and of a peer that floods a room with bad
//! events.
//!
//! One person of the quiet company sends, another hangs in a /sync, at a steady pace; first alone, then
//! beside each disturber. What counts is how much longer the slowest hundredth takes. Generator and
//! server share the machine's processors, so where the disturber takes all of them the figure says as
//! much about the kernel's scheduler as about the server: that is why there is a paced writer too.

use super::{Running, Workload};
use crate::{
    figure::{Figure, Measure, Unit, quantile},
    meter::millis,
    person::{Door, Person, find, next_batch},
    room::{door, people, room_of},
    target::Bench,
};
use harness::Server;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

mod disturber;
mod flood;
mod writers;

use disturber::Disturber;

/// Between two messages of the quiet company.
const PACE: Duration = Duration::from_millis(10);
const POLL_MS: u64 = 10_000;
/// Writes per second that the paced company is held to.
const PACED: u64 = 500;
/// Messages per second for the peer that never answers.
const UNHEARD: u64 = 200;

pub(crate) static SEND_P50: Measure =
    Measure { title: "quiet company: send p50", unit: Unit::Milliseconds, over: None };
pub(crate) static SEND_P99: Measure =
    Measure { title: "quiet company: send p99", unit: Unit::Milliseconds, over: None };
pub(crate) static SYNC_P50: Measure =
    Measure { title: "quiet company: send → /sync p50", unit: Unit::Milliseconds, over: None };
pub(crate) static SYNC_P99: Measure =
    Measure { title: "quiet company: send → /sync p99", unit: Unit::Milliseconds, over: None };

/// A disturber's figures: the quiet company's times beside him over those alone, and his doings.
pub(crate) struct Beside {
    send_p50: Measure,
    pub(crate) send: Measure,
    pub(crate) sync: Measure,
    did: Measure,
}

pub(crate) static WRITER: Beside = Beside {
    send_p50: ratio("send p50 beside a company with 32 writers, paced: times quiet"),
    send: ratio("send p99 beside a company with 32 writers, paced: times quiet"),
    sync: ratio("send → /sync p99 beside a company with 32 writers, paced: times quiet"),
    did: rate("the paced company's writes"),
};
static FULL_SPEED: Beside = Beside {
    send_p50: ratio("send p50 beside a company with 32 writers at full speed: times quiet"),
    send: ratio("send p99 beside a company with 32 writers at full speed: times quiet"),
    sync: ratio("send → /sync p99 beside a company with 32 writers at full speed: times quiet"),
    did: rate("the company at full speed: its writes"),
};
pub(crate) static SILENT_PEER: Beside = Beside {
    send_p50: ratio("send p50 beside a company whose peer never answers: times quiet"),
    send: ratio("send p99 beside a company whose peer never answers: times quiet"),
    sync: ratio("send → /sync p99 beside a company whose peer never answers: times quiet"),
    did: rate("events for the peer that never answers"),
};
pub(crate) static FLOOD: Beside = Beside {
    send_p50: ratio("send p50 beside a room flooded with bad events: times quiet"),
    send: ratio("send p99 beside a room flooded with bad events: times quiet"),
    sync: ratio("send → /sync p99 beside a room flooded with bad events: times quiet"),
    did: rate("bad events"),
};

const fn ratio(title: &'static str) -> Measure {
    Measure { title, unit: Unit::Count, over: None }
}

const fn rate(title: &'static str) -> Measure {
    Measure { title, unit: Unit::PerSecond, over: None }
}

pub(crate) const WORKLOAD: Workload = Workload { name: "fairness", run: running };

fn running(bench: Bench) -> Running {
    Box::pin(run(bench))
}

async fn run(bench: Bench) -> Vec<Figure> {
    // A process of one homeserver has nobody to be unfair to.
    if !bench.is_kontor() {
        return Vec::new();
    }
    let server = bench.server_with(2).await;
    let mut quiet = Quiet::at(&door(&server), bench.times(1_000)).await;
    let busy = Door { name: server.names()[1].clone(), ..door(&server) };
    let mut alone = quiet.messages().await;
    let mut figures = vec![
        SEND_P50.is(quantile(&mut alone.send, 0.5)),
        SEND_P99.is(quantile(&mut alone.send, 0.99)),
        SYNC_P50.is(quantile(&mut alone.sync, 0.5)),
        SYNC_P99.is(quantile(&mut alone.sync, 0.99)),
    ];
    for (beside, pace) in [(&WRITER, Some(PACED)), (&FULL_SPEED, None)] {
        let door = busy.clone();
        let start = move |going| writers::write(door, pace, going);
        figures.extend(quiet.beside(beside, start).await);
    }
    figures.extend(beside_a_silent_peer(&bench, &mut quiet, &busy).await);
    let (base, name) = (server.base(), busy.name.clone());
    let events = bench.times(8_000);
    let authority = Arc::clone(&bench.authority);
    let start = move |going| flood::flood(base, name, authority, events, going);
    figures.extend(quiet.beside(&FLOOD, start).await);
    figures
}

/// A peer is in a room of the busy company, and is frozen while messages for it are sent.
async fn beside_a_silent_peer(bench: &Bench, quiet: &mut Quiet, busy: &Door) -> [Figure; 4] {
    let peer: Server = bench.server().await;
    let mut here = people(busy, "unheard", 1).await.remove(0);
    let mut there = people(&door(&peer), "guest", 1).await.remove(0);
    let room = here.create_room().await;
    there.join(&room, Some(&busy.name)).await;
    let process = peer.process();
    process.freeze();
    let start = move |going| writers::write_one(here, room, UNHEARD, going);
    let figures = quiet.beside(&SILENT_PEER, start).await;
    process.signal("CONT");
    figures
}

/// A company in which little happens.
struct Quiet {
    alice: Person,
    bob: Person,
    room: String,
    since: String,
    count: u64,
}

/// Milliseconds that messages took.
struct Times {
    /// Until the sender was answered.
    send: Vec<f64>,
    /// Until the other one had it.
    sync: Vec<f64>,
}

impl Quiet {
    async fn at(door: &Door, count: u64) -> Self {
        let mut people = people(door, "quiet", 2).await;
        let room = room_of(&mut people).await;
        let (Some(mut bob), Some(alice)) = (people.pop(), people.pop()) else {
            panic!("two people were made");
        };
        let since = bob.synced().await;
        Self { alice, bob, room, since, count }
    }

    /// So many messages, one after the other.
    async fn messages(&mut self) -> Times {
        let mut times = Times { send: Vec::new(), sync: Vec::new() };
        for _ in 0..self.count {
            let started = Instant::now();
            let sending = async {
                let event = self.alice.say(&self.room).await;
                (event, started.elapsed())
            };
            let hearing = async {
                let answer = self.bob.sync(&self.since, POLL_MS).await;
                (answer, started.elapsed())
            };
            let ((event, sent), (mut answer, mut heard)) = tokio::join!(sending, hearing);
            self.since = next_batch(&answer);
            while find(&answer, event.as_bytes()).is_none() {
                answer = self.bob.sync(&self.since, POLL_MS).await;
                heard = started.elapsed();
                self.since = next_batch(&answer);
            }
            times.send.push(millis(sent));
            times.sync.push(millis(heard));
            sleep(PACE).await;
        }
        times
    }

    /// The messages alone, then beside somebody.
    async fn beside<F: Future<Output = u64>>(
        &mut self,
        measures: &'static Beside,
        start: impl FnOnce(Arc<disturber::Going>) -> F + Send + 'static,
    ) -> [Figure; 4] {
        let mut alone = self.messages().await;
        let disturber = Disturber::start(start).await;
        let started = Instant::now();
        let mut beside = self.messages().await;
        let took = started.elapsed();
        let did = disturber.stop().await;
        let times = |beside: &mut [f64], alone: &mut [f64], part| {
            quantile(beside, part) / quantile(alone, part)
        };
        [
            measures.send_p50.is(times(&mut beside.send, &mut alone.send, 0.5)),
            measures.send.is(times(&mut beside.send, &mut alone.send, 0.99)),
            measures.sync.is(times(&mut beside.sync, &mut alone.sync, 0.99)),
            measures.did.is(did as f64 / took.as_secs_f64()),
        ]
    }
}

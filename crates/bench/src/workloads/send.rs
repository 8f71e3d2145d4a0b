//! Durable sends: so many senders at once in eight rooms of ten people, each as fast as he is
//! answered.

use super::Workload;
use crate::{
    figure::{Figure, Measure, Unit, quantile},
    meter::{Meter, millis},
    room::{connections, door, people, room_of},
    target::Bench,
};
use futures_util::future::join_all;
use tokio::time::Instant;

const ROOMS: u64 = 8;
const PEOPLE: u64 = 10;

pub(crate) static CPU: Measure =
    Measure { title: "send: CPU each", unit: Unit::Microseconds, over: Some("senders at once") };
pub(crate) static RATE: Measure =
    Measure { title: "sends per second", unit: Unit::PerSecond, over: Some("senders at once") };
pub(crate) static P99: Measure =
    Measure { title: "send: p99", unit: Unit::Milliseconds, over: Some("senders at once") };

pub(crate) const WORKLOAD: Workload = Workload { name: "send", run: |bench| Box::pin(run(bench)) };

async fn run(bench: Bench) -> Vec<Figure> {
    let server = bench.server().await;
    let mut people = people(&door(&server), "p", PEOPLE).await;
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        rooms.push(room_of(&mut people).await);
        people.rotate_left(1);
    }
    let mut figures = Vec::new();
    for (senders, full) in [(1, 1_000), (8, 16_000), (64, 32_000)] {
        let each = (bench.times(full) / senders).max(4);
        let crowd = connections(&people, senders);
        let meter = Meter::of(&[&server]);
        let turns = crowd.into_iter().zip(rooms.iter().cycle()).map(async |(mut person, room)| {
            let mut times = Vec::new();
            for _ in 0..each {
                let started = Instant::now();
                person.say(room).await;
                times.push(millis(started.elapsed()));
            }
            times
        });
        let mut times = join_all(turns).await.concat();
        let cost = meter.read();
        let sent = each * senders;
        figures.push(CPU.at(senders, cost.cpu_each(sent)));
        figures.push(RATE.at(senders, cost.rate(sent)));
        figures.push(P99.at(senders, quantile(&mut times, 0.99)));
    }
    figures
}

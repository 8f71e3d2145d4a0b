//! /sync of one person who is in more and more rooms: the initial one, and one with one change.

use super::Workload;
use crate::{
    figure::{Figure, Measure, Unit, quantile},
    meter::{Meter, millis},
    room::{door, people},
    target::Bench,
};
use tokio::time::Instant;

const MESSAGES: u64 = 10;
/// Above this an initial sync is not what anybody asks about.
const INITIAL_ROOMS_MAX: u64 = 210;

pub(crate) static INITIAL_CPU: Measure =
    Measure { title: "initial /sync: CPU", unit: Unit::Microseconds, over: Some("rooms") };
pub(crate) static INITIAL_P50: Measure =
    Measure { title: "initial /sync: p50", unit: Unit::Milliseconds, over: Some("rooms") };
pub(crate) static INITIAL_BYTES: Measure =
    Measure { title: "initial /sync: size", unit: Unit::Bytes, over: Some("rooms") };
pub(crate) static CHANGE_CPU: Measure = Measure {
    title: "incremental /sync with one change: CPU",
    unit: Unit::Microseconds,
    over: Some("rooms"),
};
pub(crate) static CREATE_CPU: Measure =
    Measure { title: "createRoom: CPU", unit: Unit::Microseconds, over: None };

pub(crate) const WORKLOAD: Workload = Workload { name: "sync", run: |bench| Box::pin(run(bench)) };

async fn run(bench: Bench) -> Vec<Figure> {
    let server = bench.server().await;
    let mut pair = people(&door(&server), "p", 2).await;
    let (mut figures, mut rooms, mut creating) = (Vec::new(), Vec::new(), 0.0);
    let sizes = if bench.is_kontor() {
        bench.sizes(&[2, 5], &[10, 50, 210, 500], &[10, 50, 100, 210, 500, 1_000, 2_000])
    } else {
        bench.sizes(&[2, 5], &[10, 50, 210], &[10, 50, 100, 210])
    };
    for &size in sizes {
        while (rooms.len() as u64) < size {
            let meter = Meter::of(&[&server]);
            let room = pair[0].create_room().await;
            creating += meter.read().cpu_each(1);
            pair[1].join(&room, None).await;
            for _ in 0..if size > INITIAL_ROOMS_MAX { 1 } else { MESSAGES } {
                pair[1].say(&room).await;
            }
            rooms.push(room);
        }
        if size <= INITIAL_ROOMS_MAX {
            let times = bench.times(200);
            let meter = Meter::of(&[&server]);
            let (mut walls, mut bytes) = (Vec::new(), 0);
            for _ in 0..times {
                let started = Instant::now();
                bytes = pair[0].sync("", 0).await.len();
                walls.push(millis(started.elapsed()));
            }
            figures.push(INITIAL_CPU.at(size, meter.read().cpu_each(times)));
            figures.push(INITIAL_P50.at(size, quantile(&mut walls, 0.5)));
            figures.push(INITIAL_BYTES.at(size, bytes as f64));
        }
        let since = pair[0].synced().await;
        pair[1].say(&rooms[rooms.len() / 2]).await;
        // The same step again and again: nothing but the /sync is in the figure.
        let times = bench.times(4_000);
        let meter = Meter::of(&[&server]);
        for _ in 0..times {
            pair[0].sync(&since, 0).await;
        }
        figures.push(CHANGE_CPU.at(size, meter.read().cpu_each(times)));
    }
    figures.push(CREATE_CPU.is(creating / rooms.len() as f64));
    figures
}

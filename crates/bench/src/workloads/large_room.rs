//! A room that grows: what a join costs, and what a message costs, by how many are in it.

use super::Workload;
use crate::{
    figure::{Figure, Measure, Unit},
    meter::{Meter, rested},
    room::{door, people},
    target::Bench,
};

pub(crate) static JOIN_CPU: Measure = Measure {
    title: "join: CPU each, up to this many members",
    unit: Unit::Microseconds,
    over: Some("members"),
};
pub(crate) static SEND_CPU: Measure = Measure {
    title: "send in a large room: CPU each",
    unit: Unit::Microseconds,
    over: Some("members"),
};
pub(crate) static REGISTER_CPU: Measure =
    Measure { title: "register: CPU", unit: Unit::Microseconds, over: None };

pub(crate) const WORKLOAD: Workload =
    Workload { name: "large-room", run: |bench| Box::pin(run(bench)) };

async fn run(bench: Bench) -> Vec<Figure> {
    let server = bench.server().await;
    let sizes = bench.sizes(&[4, 10], &[100, 300, 600], &[100, 500, 1_000, 2_000]);
    let most = sizes.last().copied().unwrap_or_default();
    let meter = Meter::of(&[&server]);
    let mut crowd = people(&door(&server), "p", most).await;
    let mut figures = vec![REGISTER_CPU.is(meter.read().cpu_each(most))];
    let room = crowd[0].create_room().await;
    let mut members = 1;
    for &size in sizes {
        rested(&server).await;
        let meter = Meter::of(&[&server]);
        for person in &mut crowd[members as usize..size as usize] {
            person.join(&room, None).await;
            // Two thousand open connections would be another workload.
            person.hang_up();
        }
        figures.push(JOIN_CPU.at(size, meter.read().cpu_each(size - members)));
        members = size;
        let times = bench.times(2_000);
        rested(&server).await;
        let meter = Meter::of(&[&server]);
        for _ in 0..times {
            crowd[0].say(&room).await;
        }
        figures.push(SEND_CPU.at(size, meter.read().cpu_each(times)));
    }
    figures
}

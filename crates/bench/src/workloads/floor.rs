//! What any request and any account cost: a question that needs no more than the token, and a
//! registration, which is mostly the hash of a password.

use super::Workload;
use crate::{
    figure::{Figure, Measure, Unit},
    meter::Meter,
    room::{connections, door, people},
    target::Bench,
};
use futures_util::future::join_all;

const AT_ONCE: u64 = 8;

pub(crate) static WHOAMI_CPU: Measure =
    Measure { title: "whoami, 8 at once: CPU each", unit: Unit::Microseconds, over: None };
pub(crate) static WHOAMI_RATE: Measure =
    Measure { title: "whoami, 8 at once", unit: Unit::PerSecond, over: None };

pub(crate) const WORKLOAD: Workload = Workload { name: "floor", run: |bench| Box::pin(run(bench)) };

async fn run(bench: Bench) -> Vec<Figure> {
    let server = bench.server().await;
    let people = people(&door(&server), "p", AT_ONCE).await;
    let each = bench.times(20_000) / AT_ONCE;
    let meter = Meter::of(&[&server]);
    join_all(connections(&people, AT_ONCE).into_iter().map(async |mut person| {
        for _ in 0..each {
            person.get("/account/whoami").await;
        }
    }))
    .await;
    let cost = meter.read();
    let asked = each * AT_ONCE;
    vec![WHOAMI_CPU.is(cost.cpu_each(asked)), WHOAMI_RATE.is(cost.rate(asked))]
}

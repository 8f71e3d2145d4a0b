//! One company, and very many in one process: what an idle one takes, and how long a start takes.

use super::{Workload, long_polls::settled};
use crate::{
    figure::{Figure, Measure, Unit, quantile},
    meter::millis,
    person::{Door, Person},
    room::door,
    target::Bench,
};
use harness::Server;
use http::Method;
use tokio::time::Instant;

const STARTS: usize = 5;

pub(crate) static IDLE: Measure =
    Measure { title: "idle memory, first company", unit: Unit::Bytes, over: None };
pub(crate) static FURTHER: Measure =
    Measure { title: "idle memory, each further company", unit: Unit::Bytes, over: None };
pub(crate) static START: Measure =
    Measure { title: "start until it answers", unit: Unit::Milliseconds, over: Some("companies") };
pub(crate) static START_ALL: Measure = Measure {
    title: "start until every company answers",
    unit: Unit::Milliseconds,
    over: Some("companies"),
};

pub(crate) const WORKLOAD: Workload =
    Workload { name: "companies", run: |bench| Box::pin(run(bench)) };

async fn run(bench: Bench) -> Vec<Figure> {
    let mut server = bench.server().await;
    Person::register(&door(&server), "alice").await;
    let mut figures = vec![START.at(1, start(&mut server).await)];
    let one = settled(&server).await as f64;
    figures.push(IDLE.is(one));
    if !bench.is_kontor() {
        return figures;
    }
    let mut many = 1;
    for &size in bench.sizes(&[3], &[10, 100], &[10, 100, 1_000]) {
        for number in many..size {
            server.kontor(&["homeserver", "create", &name(number)]);
        }
        many = size;
        figures.push(START.at(size, start(&mut server).await));
        figures.push(START_ALL.at(size, start_all(&mut server, size).await));
    }
    let all = settled(&server).await as f64;
    figures.push(FURTHER.is((all - one) / (many - 1) as f64));
    figures
}

fn name(number: u64) -> String {
    format!("company{number}.example")
}

/// The median from the start of the process until its first answer.
async fn start(server: &mut Server) -> f64 {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        server.stop().await;
        let mut person = Person::nobody(&door(server));
        let started = Instant::now();
        server.launch();
        asked(&mut person).await;
        times.push(millis(started.elapsed()));
    }
    quantile(&mut times, 0.5)
}

/// From the start of the process until each company has answered.
async fn start_all(server: &mut Server, size: u64) -> f64 {
    server.stop().await;
    let started = Instant::now();
    server.launch();
    for number in 1..size {
        let address = server.address();
        asked(&mut Person::nobody(&Door { address, name: name(number) })).await;
    }
    millis(started.elapsed())
}

/// Asks for something that an open homeserver alone can tell, until it is told.
async fn asked(person: &mut Person) {
    loop {
        let answer = person.attempt(Method::GET, "/login", None).await;
        if answer.is_ok_and(|(status, _)| status == 200) {
            return;
        }
    }
}

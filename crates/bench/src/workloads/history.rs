//! A room with more and more history: what a send and a page of /messages cost, what it takes on
//! disk, and how long the server is away after `kill -9`.

use super::Workload;
use crate::{
    disk,
    figure::{Figure, Measure, Unit, quantile},
    meter::{Meter, millis, rested},
    person::Person,
    room::{connections, door, people, room_of},
    target::{Bench, Target},
};
use futures_util::future::join_all;
use harness::{Server, run as execute};
use std::process::Command;
use tokio::time::Instant;

const SENDERS: u64 = 32;
const ROOMS: u64 = 4;

pub(crate) static SEND_CPU: Measure = Measure {
    title: "send: CPU each, 32 at once",
    unit: Unit::Microseconds,
    over: Some("messages in the store"),
};
pub(crate) static PAGE_CPU: Measure = Measure {
    title: "/messages of 100: CPU",
    unit: Unit::Microseconds,
    over: Some("messages in the store"),
};
pub(crate) static PAGE_P50: Measure = Measure {
    title: "/messages of 100: p50",
    unit: Unit::Milliseconds,
    over: Some("messages in the store"),
};
pub(crate) static DISK: Measure =
    Measure { title: "disk per message, compacted", unit: Unit::Bytes, over: None };
pub(crate) static RECOVERY: Measure = Measure {
    title: "answers again after kill -9",
    unit: Unit::Milliseconds,
    over: Some("messages in the store"),
};
pub(crate) static MEMORY: Measure =
    Measure { title: "memory after all this", unit: Unit::Bytes, over: None };

pub(crate) const WORKLOAD: Workload =
    Workload { name: "history", run: |bench| Box::pin(run(bench)) };

async fn run(bench: Bench) -> Vec<Figure> {
    let mut server = bench.server().await;
    let mut people = people(&door(&server), "p", 4).await;
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        rooms.push(room_of(&mut people).await);
    }
    let empty = compacted(&bench, &mut server).await;
    let sizes = if bench.is_kontor() {
        bench.sizes(&[150, 300], &[5_000, 20_000], &[10_000, 100_000, 1_000_000])
    } else {
        bench.sizes(&[150, 300], &[500, 1_000], &[500, 1_000, 2_000])
    };
    let (mut figures, mut stored) = (Vec::new(), 0);
    let mut crowd = connections(&people, SENDERS);
    for &size in sizes {
        let meter = Meter::of(&[&server]);
        let sent = fill(&mut crowd, &rooms, size - stored).await;
        figures.push(SEND_CPU.at(size, meter.read().cpu_each(sent)));
        stored += sent;
        rested(&server).await;
        figures.extend(pages(&bench, &server, &mut people[0], &rooms[0], size).await);
        figures.push(RECOVERY.at(size, recovery(&mut server, &mut people[0]).await));
        crowd.iter_mut().for_each(Person::hang_up);
    }
    fill(&mut crowd, &rooms, SENDERS).await;
    figures.push(MEMORY.is(server.process().memory() as f64));
    let full = compacted(&bench, &mut server).await;
    figures.push(DISK.is((full as f64 - empty as f64) / (stored + SENDERS) as f64));
    figures
}

/// Sends about so many messages, and returns how many.
async fn fill(crowd: &mut [Person], rooms: &[String], count: u64) -> u64 {
    let each = count.div_ceil(SENDERS);
    join_all(crowd.iter_mut().zip(rooms.iter().cycle()).map(async |(person, room)| {
        for _ in 0..each {
            person.say(room).await;
        }
    }))
    .await;
    each * SENDERS
}

/// The newest hundred, and then the hundred before those, again and again.
async fn pages(
    bench: &Bench,
    server: &Server,
    person: &mut Person,
    room: &str,
    size: u64,
) -> [Figure; 2] {
    let path = format!("/rooms/{}/messages?dir=b&limit=100", crate::person::escape(room));
    let times = bench.times(2_000);
    let mut walls = Vec::new();
    let meter = Meter::of(&[server]);
    for _ in 0..times {
        let started = Instant::now();
        person.get(&path).await;
        walls.push(millis(started.elapsed()));
    }
    let cpu = meter.read().cpu_each(times);
    [PAGE_CPU.at(size, cpu), PAGE_P50.at(size, quantile(&mut walls, 0.5))]
}

/// From `kill -9` and a start until somebody's token is known again.
async fn recovery(server: &mut Server, person: &mut Person) -> f64 {
    server.kill();
    person.hang_up();
    let started = Instant::now();
    server.launch();
    while !answers(person).await {}
    millis(started.elapsed())
}

async fn answers(person: &mut Person) -> bool {
    let asked = person.attempt(http::Method::GET, "/account/whoami", None).await;
    asked.is_ok_and(|(status, _)| status == 200)
}

/// Bytes on disk when nothing that was overwritten is left.
async fn compacted(bench: &Bench, server: &mut Server) -> u64 {
    match bench.target {
        Target::Kontor(_) => {
            server.kontor(&["store", "compact"]);
            disk::usage(&server.folder().join("data/store"))
        }
        Target::Synapse => {
            assert!(server.stop().await.success(), "it stops");
            let file = server.folder().join("homeserver.db");
            let mut vacuum = Command::new(harness::python());
            let program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('VACUUM')";
            vacuum.args(["-c", program]).arg(&file);
            assert!(execute(vacuum).status.success(), "SQLite can be compacted");
            let bytes = std::fs::metadata(&file).expect("the database is a file").len();
            server.start().await;
            bytes
        }
    }
}

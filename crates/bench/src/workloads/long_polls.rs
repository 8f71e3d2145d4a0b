//! People who wait: what an idle long-poll, its connection included, takes of the memory.

use super::Workload;
use crate::{
    figure::{Figure, Measure, Unit},
    person::{Person, next_batch},
    room::{connections, door, people, room_of},
    target::Bench,
};
use harness::{Server, within};
use std::time::Duration;
use tokio::time::Instant;

const PEOPLE: u64 = 100;
const POLL_MS: u64 = 120_000;
/// Long enough for a server to settle, shorter than a long-poll.
const PATIENCE: Duration = Duration::from_secs(60);
/// Memory that stays the same for so long has settled: an allocator keeps what was freed for a while.
const STILL: Duration = Duration::from_secs(15);

pub(crate) static MEMORY: Measure =
    Measure { title: "idle long-poll: memory each", unit: Unit::Bytes, over: None };

pub(crate) const WORKLOAD: Workload =
    Workload { name: "long-polls", run: |bench| Box::pin(run(bench)) };

async fn run(bench: Bench) -> Vec<Figure> {
    let server = bench.server().await;
    let mut people = people(&door(&server), "p", PEOPLE.min(bench.times(PEOPLE))).await;
    room_of(&mut people).await;
    let mut tokens = Vec::new();
    for person in &mut people {
        tokens.push(person.synced().await);
        person.hang_up();
    }
    let polls = bench.sizes(&[50], &[1_000], &[2_000])[0];
    let mut waiting = Vec::new();
    let mut memory = Vec::new();
    // What the first ones make a server load is not theirs: it counts what the others add.
    for _ in 0..2 {
        let connections = connections(&people, polls).into_iter();
        for (mut person, since) in connections.zip(tokens.iter().cycle()) {
            let since = since.clone();
            waiting.push(tokio::spawn(async move { poll(&mut person, since).await }));
        }
        memory.push(settled(&server).await as f64);
    }
    assert!(waiting.iter().all(|task| !task.is_finished()), "somebody no longer waits");
    for task in waiting {
        task.abort();
    }
    vec![MEMORY.is((memory[1] - memory[0]) / polls as f64)]
}

/// Comes back whenever there is something, for instance that somebody is online now.
async fn poll(person: &mut Person, mut since: String) {
    loop {
        since = next_batch(&person.sync(&since, POLL_MS).await);
    }
}

/// The memory of a server once it neither grows nor shrinks.
pub(crate) async fn settled(server: &Server) -> u64 {
    let (mut since, mut least, mut most) = (Instant::now(), u64::MAX, 0);
    within(PATIENCE, "the memory settles", async || {
        let memory = server.process().memory();
        (least, most) = (least.min(memory), most.max(memory));
        // A server that collects garbage is never still to the page.
        if (most - least) * 100 > most {
            (since, least, most) = (Instant::now(), memory, memory);
        }
        (since.elapsed() >= STILL).then_some(memory)
    })
    .await
}

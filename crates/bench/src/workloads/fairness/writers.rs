//! Those who write much.

use super::disturber::Going;
use crate::{
    person::{Door, Person},
    room::{connections, people, room_of},
};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

const PEOPLE: u64 = 4;
const WRITERS: u64 = 32;

/// A company whose writers write as fast as they are answered, or so many messages per second. How
/// many they were.
pub(super) async fn write(door: Door, pace: Option<u64>, going: Arc<Going>) -> u64 {
    // The same company may be busy twice.
    let name = pace.map_or("full-speed".to_owned(), |pace| format!("paced-{pace}-"));
    let mut crowd = people(&door, &name, PEOPLE).await;
    let room = room_of(&mut crowd).await;
    let pause = pace.map(|pace| Duration::from_secs(WRITERS) / u32::try_from(pace).expect("few"));
    going.begin();
    let writers = connections(&crowd, WRITERS);
    let written = writers.into_iter().map(|person| say(person, &room, pause, &going));
    join_all(written).await.into_iter().sum()
}

/// One person who writes so many messages per second.
pub(super) async fn write_one(person: Person, room: String, pace: u64, going: Arc<Going>) -> u64 {
    going.begin();
    let pause = Duration::from_secs(1) / u32::try_from(pace).expect("few");
    say(person, &room, Some(pause), &going).await
}

async fn say(mut person: Person, room: &str, pause: Option<Duration>, going: &Going) -> u64 {
    let (mut said, mut next) = (0, Instant::now());
    while going.on() {
        person.say(room).await;
        said += 1;
        if let Some(pause) = pause {
            next += pause;
            sleep_until(next).await;
        }
    }
    said
}

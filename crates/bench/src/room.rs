//! Crowds and the rooms that they meet in, made before anything is measured.

use crate::person::{Door, Person};
use futures_util::future::join_all;
use harness::Server;

/// So many register at once.
const AT_ONCE: usize = 8;

/// The way to a server's first homeserver.
pub(crate) fn door(server: &Server) -> Door {
    Door { address: server.address(), name: server.name().into() }
}

/// New people of a homeserver.
pub(crate) async fn people(door: &Door, name: &str, count: u64) -> Vec<Person> {
    let names = (0..count).map(|n| format!("{name}{n}")).collect::<Vec<_>>();
    let mut people = Vec::new();
    for names in names.chunks(AT_ONCE) {
        people.extend(join_all(names.iter().map(|name| Person::register(door, name))).await);
    }
    people
}

/// A room of all these people.
pub(crate) async fn room_of(people: &mut [Person]) -> String {
    let (first, others) = people.split_first_mut().expect("somebody");
    let room = first.create_room().await;
    for other in others {
        other.join(&room, None).await;
    }
    room
}

/// As many connections of these people as are wanted.
pub(crate) fn connections(people: &[Person], count: u64) -> Vec<Person> {
    let people = people.iter().cycle();
    (1..=count).zip(people).map(|(n, person)| person.again(stamp() + n)).collect()
}

/// A number that no other call gets, with room for a thousand after it.
fn stamp() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1_000, Ordering::Relaxed)
}

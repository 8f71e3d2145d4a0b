//! Who does what, drawn from the seed.

use std::time::Duration;

use model::room_version::RoomVersion;
use rand::{RngExt, rngs::StdRng};
use ruma::{OwnedServerName, OwnedUserId};
use serde_json::json;

use crate::{
    acts::{Act, Deed, Room},
    home::name_of,
    ledger::Ledger,
};

/// A person, and the homeserver of his company.
#[derive(Clone, Debug)]
pub struct Person {
    pub home: usize,
    pub id: OwnedUserId,
}

/// The longest that nobody does anything, in milliseconds.
const PAUSE_MS_MAX: u64 = 4_000;

pub fn pause(rng: &mut StdRng) -> Duration {
    // Every third act comes at the same time as the one before it.
    match rng.random_ratio(1, 3) {
        true => Duration::ZERO,
        false => Duration::from_millis(rng.random_range(0..PAUSE_MS_MAX)),
    }
}

pub fn version(rng: &mut StdRng) -> RoomVersion {
    RoomVersion::ALL[rng.random_range(0..RoomVersion::ALL.len())]
}

fn one<'a, T>(rng: &mut StdRng, of: &'a [T]) -> &'a T {
    &of[rng.random_range(0..of.len())]
}

/// Draws what somebody does next. Much of it is refused, as it should be.
pub fn act(
    rng: &mut StdRng,
    people: &[Person],
    rooms: &[Room],
    ledger: &Ledger,
    number: u64,
) -> Act {
    let person = one(rng, people).clone();
    let room = one(rng, rooms).clone();
    let other = one(rng, people).id.clone();
    let via = vec![name_of(one(rng, people).home), room.creator.server_name().to_owned()];
    let deed = match rng.random_range(0..100) {
        0..42 => Deed::Say(number),
        42..52 => set(rng, rooms, number),
        52..58 => Deed::Power(other, *one(rng, &[0, 0, 50, 100])),
        58..63 => match &ledger.messages_in(&room.id)[..] {
            [] => Deed::Say(number),
            messages => Deed::Redact(one(rng, messages).clone()),
        },
        63..77 => Deed::Join(via),
        77..79 => Deed::Knock(via),
        79..84 => Deed::Leave,
        84..89 => Deed::Invite(other),
        89..93 => Deed::Kick(other),
        93..96 => Deed::Ban(other),
        _ => Deed::Unban(other),
    };
    // Rules are mostly made by who made the room.
    let rules = !matches!(deed, Deed::Say(_) | Deed::Join(_) | Deed::Leave | Deed::Knock(_));
    let creator = people.iter().find(|person| person.id == room.creator);
    match creator {
        Some(creator) if rules && rng.random_ratio(1, 2) => {
            Act { home: creator.home, user: creator.id.clone(), room, deed }
        }
        _ => Act { home: person.home, user: person.id, room, deed },
    }
}

fn set(rng: &mut StdRng, rooms: &[Room], number: u64) -> Deed {
    match rng.random_range(0..5) {
        0 => {
            let rule = *one(rng, &["public", "public", "public", "invite", "knock", "restricted"]);
            let room = &one(rng, rooms).id;
            let allow = json!([{ "type": "m.room_membership", "room_id": room }]);
            let content = json!({ "join_rule": rule, "allow": allow });
            Deed::Set("m.room.join_rules", String::new(), content)
        }
        1 => {
            let visibility = *one(rng, &["shared", "joined", "invited", "world_readable"]);
            let content = json!({ "history_visibility": visibility });
            Deed::Set("m.room.history_visibility", String::new(), content)
        }
        2 => Deed::Set("org.example.note", "board".to_owned(), json!({ "note": number })),
        3 => Deed::Set("m.room.name", String::new(), json!({ "name": number.to_string() })),
        _ => Deed::Set("m.room.topic", String::new(), json!({ "topic": number.to_string() })),
    }
}

/// The servers that a person may be told to join through.
pub fn via(room: &Room) -> Vec<OwnedServerName> {
    vec![room.creator.server_name().to_owned()]
}

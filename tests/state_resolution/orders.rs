//! Properties that need no second server: neither the order in which events come nor that of the
//! states says anything.

use model::room_version::RoomVersion;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::{
    history::History,
    judge::{Room, judge, kontor},
};

const ROOMS: u64 = 8;

/// Calls with every room of every version, and chance of its own for each.
fn for_each_room(visit: impl Fn(History, &mut StdRng)) {
    let seeds = match harness::chosen_seed() {
        Some(seed) => seed..=seed,
        None => 1..=ROOMS,
    };
    for seed in seeds {
        for version in RoomVersion::ALL {
            visit(History::of(version, seed), &mut StdRng::seed_from_u64(seed));
        }
    }
}

#[test]
fn the_order_in_which_events_come_does_not_matter() {
    for_each_room(|history, rng| {
        let expected = judge(&history, kontor);
        let shuffled = history.reordered(rng);
        assert_eq!(judge(&shuffled, kontor), expected, "{}", history.name());
    });
}

#[test]
fn the_order_of_the_states_does_not_matter() {
    for_each_room(|mut history, rng| {
        let expected = judge(&history, kontor).meetings;
        for meeting in &mut history.meetings {
            meeting.shuffle(rng);
            // A state that is there twice says nothing new.
            meeting.push(meeting[0].clone());
        }
        assert_eq!(judge(&history, kontor).meetings, expected, "{}", history.name());
    });
}

#[test]
fn a_state_resolves_to_itself() {
    for_each_room(|history, _| {
        let mut room = Room::new(history.version, kontor);
        for pdu in &history.events {
            room.take(pdu);
            let after = room.after(&pdu.event_id);
            assert_eq!(
                room.resolve(std::slice::from_ref(&pdu.event_id)),
                after,
                "{}",
                history.name()
            );
            let twice = [pdu.event_id.clone(), pdu.event_id.clone()];
            assert_eq!(room.resolve(&twice), after, "{}", history.name());
        }
    });
}

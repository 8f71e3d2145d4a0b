//! Which rooms are judged by both, and in what the judgements differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use model::room_version::RoomVersion;

use crate::{
    history::History,
    judge::{self, Judgement, State},
    oracle::Oracle,
    sabotage,
};

/// Rooms of each version in every test run.
const GRAPHS: usize = 20;

/// What was compared.
#[derive(Default)]
struct Counts {
    rooms: usize,
    events: usize,
    rejected: usize,
    resolved: usize,
    by_chains_of_synapse: usize,
    /// Meetings of states, and those whose outcome is not just the newest event at every place.
    meetings: usize,
    not_the_newest: usize,
}

#[test]
fn kontor_and_synapse_judge_the_same_rooms_alike() {
    let rooms = rooms();
    let (next, found) =
        (AtomicUsize::new(0), Mutex::new((BTreeMap::<_, Counts>::new(), Vec::new())));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut oracle = Oracle::start();
                while let Some((version, seed)) = rooms.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (counts, complaints) = compare(&mut oracle, *version, *seed);
                    for complaint in &complaints {
                        println!("KONTOR_SEED={seed}: version {version}: {complaint}");
                    }
                    let mut found = found.lock().expect("no comparison panics");
                    found.0.entry(*version).or_default().add(&counts);
                    found.1.extend(complaints);
                }
            });
        }
    });
    let (counts, complaints) = found.into_inner().expect("no comparison panics");
    for (version, counts) in counts {
        println!("version {version}: {counts}");
    }
    assert!(complaints.is_empty(), "{} differences", complaints.len());
}

/// The rooms to compare: all versions, each with the same seeds.
fn rooms() -> Vec<(RoomVersion, u64)> {
    let seeds = match harness::chosen_seed() {
        Some(seed) => seed..=seed,
        None => 1..=harness::number("KONTOR_GRAPHS", GRAPHS) as u64,
    };
    seeds.flat_map(|seed| RoomVersion::ALL.map(|version| (version, seed))).collect()
}

fn compare(oracle: &mut Oracle, version: RoomVersion, seed: u64) -> (Counts, Vec<String>) {
    let history = History::of(version, seed);
    let ours = judge::judge(&history, judge::kontor);
    let verdict = oracle.judge(&history);
    let complaints = differences(&ours, &verdict.judgement);
    if !complaints.is_empty() && harness::chosen_seed().is_some() {
        println!("{}", history.story(&ours.rejected));
    }
    let newest = judge::judge(&history, sabotage::newest_wins).meetings;
    let counts = Counts {
        rooms: 1,
        events: history.events.len(),
        rejected: ours.rejected.len(),
        resolved: verdict.resolved,
        by_chains_of_synapse: verdict.by_chains_of_synapse,
        meetings: ours.meetings.len(),
        not_the_newest: ours.meetings.iter().zip(&newest).filter(|(a, b)| a != b).count(),
    };
    (counts, complaints)
}

/// In what two judgements differ, in words.
pub fn differences(ours: &Judgement, theirs: &Judgement) -> Vec<String> {
    let mut found = Vec::new();
    for (who, one, other) in [("Kontor", ours, theirs), ("Synapse", theirs, ours)] {
        for (event, reason) in &one.rejected {
            if !other.rejected.contains_key(event) {
                found.push(format!("only {who} rejects {event}: {reason}"));
            }
        }
    }
    let merges: BTreeSet<_> = ours.merges.keys().chain(theirs.merges.keys()).collect();
    let nothing = State::new();
    for event in merges {
        let [ours, theirs] =
            [ours, theirs].map(|judgement| judgement.merges.get(event).unwrap_or(&nothing));
        found.extend(places(&format!("before {event}"), ours, theirs));
    }
    assert_eq!(ours.meetings.len(), theirs.meetings.len());
    for (index, (ours, theirs)) in ours.meetings.iter().zip(&theirs.meetings).enumerate() {
        found.extend(places(&format!("at meeting {index}"), ours, theirs));
    }
    found
}

fn places(whence: &str, ours: &State, theirs: &State) -> Vec<String> {
    let places: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differing = places.into_iter().filter(|place| ours.get(*place) != theirs.get(*place));
    differing
        .map(|place| {
            let [ours, theirs] = [ours, theirs].map(|state| state.get(place));
            format!("{whence}, {place:?} is {ours:?} for Kontor and {theirs:?} for Synapse")
        })
        .collect()
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.rooms += other.rooms;
        self.events += other.events;
        self.rejected += other.rejected;
        self.resolved += other.resolved;
        self.by_chains_of_synapse += other.by_chains_of_synapse;
        self.meetings += other.meetings;
        self.not_the_newest += other.not_the_newest;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rooms: {} events, {} of them rejected; {} states resolved, in {} of them Synapse \
             compared the auth chains itself; {} meetings of states, in {} of them the newest event \
             did not simply win",
            self.rooms,
            self.events,
            self.rejected,
            self.resolved,
            self.by_chains_of_synapse,
            self.meetings,
            self.not_the_newest,
        )
    }
}

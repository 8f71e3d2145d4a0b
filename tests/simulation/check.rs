//! What must be true in the end.

use std::collections::{BTreeMap, BTreeSet};

use model::room_version::RoomVersion;
use ruma::{OwnedEventId, OwnedRoomId};
use store::events::Standing;

use crate::{
    acts::Room,
    books::Book,
    ledger::Acknowledged,
    run::{Sabotage, World},
    sight,
};

/// How much there was to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub acknowledged: usize,
    pub events: usize,
    pub soft_failed: usize,
    pub shown: usize,
    pub states_compared: usize,
    /// Homeservers that others have put out of a room without a way to tell them: where a fork was
    /// resolved their join did not hold, or others never let them in; see
    /// [`Library::put_out_silently`].
    pub lost_in_forks: usize,
    pub never_let_in: usize,
    /// Homeservers in rooms that they may have joined without some events, for want of the keys to
    /// verify them.
    pub without_keys: usize,
}

/// Why a homeserver thinks that it is in a room when others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PutOut {
    LostInFork,
    NeverLetIn,
}

/// The books of all homeservers on one room, by the homeservers' numbers.
pub struct Library {
    pub room: OwnedRoomId,
    pub books: BTreeMap<usize, Book>,
    version: RoomVersion,
    put_out: BTreeMap<usize, PutOut>,
    without_keys: BTreeSet<usize>,
    names: BTreeMap<usize, String>,
    /// The previous events of every event that anybody has in the room's graph.
    graph: BTreeMap<OwnedEventId, Vec<OwnedEventId>>,
}

impl Library {
    async fn read(world: &World, room: &Room) -> Self {
        let mut library = Self {
            room: room.id.clone(),
            version: room.version,
            put_out: BTreeMap::new(),
            without_keys: BTreeSet::new(),
            books: BTreeMap::new(),
            names: BTreeMap::new(),
            graph: BTreeMap::new(),
        };
        for home in &world.homes {
            let running = home.running.as_ref().expect("everybody runs");
            if let Some(book) = Book::read(&running.federation.services.rooms, &room.id).await {
                for (event, kept) in &book.events {
                    library.graph.insert(event.clone(), kept.prev.clone());
                }
                library.books.insert(home.number, book);
                library.names.insert(home.number, home.name.to_string());
            }
        }
        library.put_out = library.put_out_silently();
        // Nobody vouches for the keys of servers that are away: a join leaves out their events, as
        // everywhere in Matrix, and the state is another one for good.
        if !world.notaries {
            let homes = world.homes.iter().map(|home| home.number);
            library
                .without_keys
                .extend(homes.filter(|home| world.wire.may_have_missed_keys(*home)));
        }
        library
    }

    /// The homeservers that are in the room, and know it.
    fn residents(&self) -> impl Iterator<Item = (usize, &str, &Book)> {
        self.think_they_are_in().filter(|(home, ..)| {
            !self.put_out.contains_key(home) && !self.without_keys.contains(home)
        })
    }

    fn think_they_are_in(&self) -> impl Iterator<Item = (usize, &str, &Book)> {
        self.books.iter().filter_map(|(home, book)| {
            let name = &self.names[home];
            book.is_resident(name).then_some((*home, name.as_str(), book))
        })
    }

    /// The homeservers that think they are in the room, though all others agree that they are not,
    /// and for which the protocol has no remedy: either everybody has the same events, and where a
    /// fork was resolved a join did not hold against a rule that came after it (before room
    /// version 12); or they came in through a server that did not know yet what forbids it, so that
    /// others soft-failed their join.
    fn put_out_silently(&self) -> BTreeMap<usize, PutOut> {
        let mut put_out = BTreeMap::new();
        for (home, name, book) in self.think_they_are_in() {
            let others = self.think_they_are_in().filter(|(other, ..)| *other != home);
            let mut others: Vec<&Book> = others.map(|(.., theirs)| theirs).collect();
            others.retain(|theirs| !theirs.is_resident(name));
            let is_told = |theirs: &&Book| {
                let mut members = theirs.state.iter().filter(|((event_type, user), _)| {
                    event_type == "m.room.member" && user.ends_with(&format!(":{name}"))
                });
                members.all(|(_, event)| book.events.contains_key(event))
            };
            let is_not_let_in = |theirs: &&Book| {
                let join = book.since.get(name).and_then(|join| theirs.events.get(join));
                join.is_none_or(|join| join.standing != Standing::Accepted)
            };
            let by_resolution = self.version < RoomVersion::V12 && others.iter().all(is_told);
            if others.is_empty() {
                continue;
            }
            if by_resolution {
                put_out.insert(home, PutOut::LostInFork);
            } else if others.iter().any(is_not_let_in) {
                put_out.insert(home, PutOut::NeverLetIn);
            }
        }
        put_out
    }

    /// Whether one event is the other or stands before it in the graph.
    fn is_before(&self, event: &OwnedEventId, later: &OwnedEventId) -> bool {
        let mut seen = BTreeSet::new();
        let mut wave = vec![later];
        while let Some(next) = wave.pop() {
            if next == event {
                return true;
            }
            if seen.insert(next) {
                wave.extend(self.graph.get(next).into_iter().flatten());
            }
        }
        false
    }
}

/// Without another word said: whatever was acknowledged is where it was acknowledged, and has
/// arrived wherever it had to be sent.
pub async fn delivered(world: &World) -> Vec<String> {
    let mut complaints = world.ledger.contradictions();
    let entries = world.ledger.entries();
    for room in &world.rooms {
        let library = Library::read(world, room).await;
        for entry in entries.iter().filter(|entry| entry.room == room.id) {
            complaints.extend(not_delivered(&library, entry));
        }
    }
    complaints
}

fn not_delivered(library: &Library, entry: &Acknowledged) -> Vec<String> {
    let Acknowledged { room, event, home, what } = entry;
    let mut complaints = Vec::new();
    let Some(origin) = library.books.get(home) else {
        return vec![format!("s{home} lost all of {room}")];
    };
    let Some(kept) = origin.events.get(event) else {
        return vec![format!("s{home} lost {event} of {room}: {what}")];
    };
    // An invitation is sent by another server than the one that it was acknowledged by, at times
    // when the room has gone on.
    if kept.standing != Standing::Accepted || library.without_keys.contains(home) {
        return Vec::new();
    }
    let Some(before) = origin.before(event) else { return complaints };
    let addressed = origin.joined_servers(before);
    for (other, name, book) in library.residents() {
        // What was said before a server left and came back comes to it with what is said next.
        let stayed = book.since.get(name).is_none_or(|since| library.is_before(since, event));
        let knew = addressed.contains_key(name) && stayed;
        let has = book.events.get(event).is_some_and(|kept| kept.standing != Standing::Outlier);
        if knew && !has {
            complaints.push(format!("{event} of s{home} did not come to s{other}: {what}"));
        }
    }
    complaints
}

/// Everybody in a room has the same state and the same events, and nobody is shown what is not
/// for him.
pub async fn converged(
    world: &World,
    sabotage: Option<Sabotage>,
    counts: &mut Counts,
) -> Vec<String> {
    let mut complaints = delivered(world).await;
    counts.acknowledged = world.ledger.entries().len();
    for room in &world.rooms {
        let library = Library::read(world, room).await;
        let put_out = |how| library.put_out.values().filter(|why| **why == how).count();
        counts.lost_in_forks += put_out(PutOut::LostInFork);
        counts.never_let_in += put_out(PutOut::NeverLetIn);
        let members = library.think_they_are_in().map(|(home, ..)| home);
        counts.without_keys += members.filter(|home| library.without_keys.contains(home)).count();
        for book in library.books.values() {
            counts.events += book.events.len();
            let failed = |kept: &&crate::books::Kept| kept.standing == Standing::SoftFailed;
            counts.soft_failed += book.events.values().filter(failed).count();
        }
        for (home, name, book) in library.residents() {
            complaints.extend(inconsistencies(home, name, book));
        }
        complaints.extend(different_states(&library, counts));
        complaints.extend(different_events(&library));
        let (shown, seen) = sight::forbidden(world, &library, sabotage).await;
        complaints.extend(shown);
        counts.shown += seen;
    }
    complaints
}

/// What a homeserver keeps beside the state must say the same as the state.
fn inconsistencies(home: usize, name: &str, book: &Book) -> Vec<String> {
    let mut complaints = Vec::new();
    let joined = book.joined_servers(&book.state);
    let counted: BTreeMap<String, u64> = book
        .servers
        .iter()
        .filter(|(_, joined)| **joined > 0)
        .map(|(s, j)| (s.clone(), *j))
        .collect();
    if joined != counted {
        complaints.push(format!("s{home} counts {counted:?}, its state says {joined:?}"));
    }
    let here = book.state.keys().filter(|(event_type, user)| {
        event_type == "m.room.member"
            && user.ends_with(&format!(":{name}"))
            && book.membership(&book.state, user) == "join"
    });
    let here: BTreeSet<String> = here.map(|(_, user)| user.clone()).collect();
    if here != book.joined_here {
        complaints.push(format!("s{home} lists {:?}, its state says {here:?}", book.joined_here));
    }
    complaints
}

fn different_states(library: &Library, counts: &mut Counts) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut residents = library.residents();
    let Some((first, _, model)) = residents.next() else { return complaints };
    for (home, _, book) in residents {
        counts.states_compared += 1;
        if book.state == model.state {
            continue;
        }
        let places: BTreeSet<_> = book.state.keys().chain(model.state.keys()).collect();
        for place in places {
            let (ours, theirs) = (book.state.get(place), model.state.get(place));
            if ours != theirs {
                let room = &library.room;
                complaints.push(format!(
                    "{room}: {place:?} is {ours:?} on s{home} and {theirs:?} on s{first}"
                ));
            }
        }
    }
    complaints
}

fn different_events(library: &Library) -> Vec<String> {
    let mut complaints = Vec::new();
    for (home, _, book) in library.residents() {
        for (event, kept) in &book.events {
            if kept.standing != Standing::Accepted {
                continue;
            }
            for (other, name, theirs) in library.residents() {
                // What is from before it came is history, which it fetches when somebody looks.
                let Some(since) = theirs.since.get(name) else { continue };
                let is_history = kept.depth < theirs.events[since].depth;
                if other == home || is_history || library.is_before(event, since) {
                    continue;
                }
                complaints.extend(difference(library, (home, event, kept), other, theirs));
            }
        }
    }
    complaints
}

fn difference(
    library: &Library,
    (home, event, kept): (usize, &OwnedEventId, &crate::books::Kept),
    other: usize,
    theirs: &Book,
) -> Option<String> {
    let what = format!("{}: {event} ({} of {})", library.room, kept.what, kept.sender);
    let Some(their) = theirs.events.get(event) else {
        return Some(format!("{what} is on s{home} and not on s{other}"));
    };
    match their.standing {
        Standing::Accepted => {}
        // Who had the event that forbids it first does not show it. It has it all the same.
        Standing::SoftFailed => return None,
        Standing::Rejected | Standing::Outlier => {
            return Some(format!("{what} is {:?} on s{other}", their.standing));
        }
    }
    // A server that came later is told of what it may not see, but not what it says.
    let may_differ = library.books[&home].before(event).is_some_and(|before| {
        let visibility = library.books[&home].visibility(before);
        visibility == "joined" || visibility == "invited"
    });
    let is_redacted_alike = kept.redactions == their.redactions;
    if kept.content != their.content && is_redacted_alike && !may_differ {
        let says = [&kept.content, &their.content];
        return Some(format!("{what} says {says:?} on s{home} and s{other}"));
    }
    None
}

//! Who may see what, told a second time: the rules of history visibility, in their own words and
//! independent of those that the homeserver uses.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility>

use std::collections::BTreeSet;

use ruma::{OwnedEventId, OwnedUserId};
use serde_json::Value;
use services::{
    filter::EventFilter,
    reader::Reader,
    timeline::{Direction, MessagesQuery},
};
use store::events::Standing;

use crate::{
    books::{Book, State},
    check::Library,
    home::Running,
    run::{Sabotage, World},
};

/// Events of a page, and pages that are read at most.
const PAGE: u64 = 100;
const PAGES_MAX: usize = 50;

/// What somebody is shown that he must not see; and how many events were shown.
pub async fn forbidden(
    world: &World,
    library: &Library,
    sabotage: Option<Sabotage>,
) -> (Vec<String>, usize) {
    let (mut complaints, mut seen) = (Vec::new(), 0);
    for person in &world.people {
        let Some(book) = library.books.get(&person.home) else { continue };
        let running = world.homes[person.home].running.as_ref().expect("everybody runs");
        let shown = match sabotage {
            Some(Sabotage::ShowEverything) => everything(book),
            _ => {
                let mut shown = shown(running, &person.id, library).await;
                shown.extend(world.eyes.seen(&person.id, &library.room));
                shown
            }
        };
        for event in &shown {
            seen += 1;
            if !may_see(book, event, person.id.as_str()) {
                let what = book.events.get(event).map_or("it is not here", |kept| &kept.what);
                complaints
                    .push(format!("{}: {} is shown {event} ({what})", library.room, person.id));
            }
        }
    }
    (complaints, seen)
}

/// Everything that /messages answers.
async fn shown(running: &Running, user: &OwnedUserId, library: &Library) -> BTreeSet<OwnedEventId> {
    let reader = Reader { user: user.clone(), device: None };
    let mut events = BTreeSet::new();
    let mut from = None;
    for _ in 0..PAGES_MAX {
        let query = MessagesQuery {
            room_id: library.room.clone(),
            from: from.clone(),
            to: None,
            direction: Direction::Backward,
            limit: Some(PAGE),
            filter: EventFilter::default(),
        };
        let timelines = &running.federation.services.timelines;
        let Ok(page) = timelines.messages(reader.clone(), query).await else { break };
        let chunk: Vec<Value> = serde_json::from_str(page.chunk.get()).expect("JSON");
        for event in chunk {
            events.insert(event["event_id"].as_str().expect("an id").try_into().expect("an id"));
        }
        if page.end.is_none() || page.end == from {
            break;
        }
        from = page.end;
    }
    events
}

fn everything(book: &Book) -> BTreeSet<OwnedEventId> {
    let accepted = book.events.iter().filter(|(_, kept)| kept.standing == Standing::Accepted);
    accepted.map(|(event, _)| event.clone()).collect()
}

fn may_see(book: &Book, event: &OwnedEventId, user: &str) -> bool {
    let Some(kept) = book.events.get(event) else { return false };
    if kept.standing != Standing::Accepted {
        return false;
    }
    // Whoever is invited, thrown out or declines is told so, whatever else he may see.
    if kept.what == format!("m.room.member {:?}", Some(user)) {
        return true;
    }
    let states = [kept.before, kept.after].into_iter().flatten();
    // Of a member event or a change of the visibility itself, the wider of the two moments holds.
    states
        .filter_map(|root| book.states.get(&root))
        .any(|state| allows(book, kept.order, state, user))
}

fn allows(book: &Book, order: Option<store::events::Order>, state: &State, user: &str) -> bool {
    let membership = book.membership(state, user);
    match (book.visibility(state).as_str(), membership.as_str()) {
        ("world_readable", _) | (_, "join") | ("invited", "invite") => true,
        ("joined" | "invited", _) => false,
        // Shared: whoever joins later sees what was before.
        _ => joined_after(book, order, user),
    }
}

/// Whether the user was in the room when this place of the timeline was its end, or at any time
/// after: "if history_visibility was set to shared, and the user joined the room at any point after
/// the event was sent, allow". His own homeserver's view of the room counts: while it had him in the
/// room, he was told what came, whatever a fork came to in the end.
fn joined_after(book: &Book, order: Option<store::events::Order>, user: &str) -> bool {
    let Some(order) = order else { return false };
    let after = book.lived.range(order..).filter_map(|(_, root)| book.states.get(root));
    let mut after = after.chain([&book.state]);
    after.any(|state| book.membership(state, user) == "join")
}

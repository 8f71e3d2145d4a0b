//! Which state events an answer has for a room.
//!
//! What a client knows afterwards is its old state, overwritten by these events, and then (unless
//! it asked for `state_after`) by the state events of the timeline.

use std::collections::{BTreeMap, HashMap, HashSet};

use kv::StoreError;
use model::{
    EventNumber,
    state_tree::{NodeId, StateTree},
};
use ruma::UserId;

use super::lazy::SentMembers;
use crate::{
    client_event::{ClientEvent, EventView},
    filter::EventFilter,
    reader::RoomView,
};

const MEMBER: &str = "m.room.member";

/// From which state to which, and what the client learns besides.
pub(super) struct Span<'a> {
    /// What the client knows.
    pub known: NodeId,
    /// The state at the start of the timeline.
    pub start: NodeId,
    /// The state at its end.
    pub end: NodeId,
    pub timeline: &'a [EventView<'a>],
    /// Whether the state is to be told up to the end of the timeline.
    pub to_the_end: bool,
    /// Members whom the summary names.
    pub heroes: &'a [ruma::OwnedUserId],
    /// The client's position, and the answer's.
    pub since: Option<u64>,
    pub until: u64,
}

type Key = (String, String);

/// The state events that the client needs and wants.
pub(super) fn events(
    room: &RoomView<'_>,
    span: &Span<'_>,
    filter: &EventFilter,
    sent: &SentMembers,
) -> Result<Vec<ClientEvent>, StoreError> {
    if !filter.wants_room(&room.room_id) {
        return Ok(Vec::new());
    }
    let mut chosen = changed(room, span)?;
    if filter.lazy_load_members {
        load_lazily(room, span, filter, sent, &mut chosen)?;
    }
    chosen.retain(|(event_type, _), _| filter.wants_type(event_type));
    if filter.lazy_load_members {
        let members = chosen.iter().filter(|((event_type, _), _)| event_type == MEMBER);
        let members = members.map(|(_, event)| *event);
        sent.remember(room.reader, room.rows.room, members, span.until);
    }
    let mut numbers: Vec<EventNumber> = chosen.into_values().collect();
    numbers.sort_unstable();
    let mut events = room.stored_all(&numbers)?;
    if !filter.is_open() {
        let mut wanted = Vec::with_capacity(events.len());
        for event in events {
            if filter.wants(&EventView::read(&event)?) {
                wanted.push(event);
            }
        }
        events = wanted;
    }
    Ok(events)
}

/// What differs from what the client knows.
fn changed(room: &RoomView<'_>, span: &Span<'_>) -> Result<BTreeMap<Key, EventNumber>, StoreError> {
    let tree = StateTree::new(room.rows.salt);
    let touched = touched(span.timeline);
    let mut chosen = BTreeMap::new();
    for difference in tree.diff(&room.rows, span.known, span.end)? {
        let Some(entry) = difference.after else { continue };
        let key = (difference.event_type.to_string(), difference.state_key.to_string());
        if span.to_the_end || !touched.contains(&key) {
            chosen.insert(key, entry.event);
        }
    }
    if span.to_the_end || span.start == span.known {
        return Ok(chosen);
    }
    // What the timeline will change, the client first needs as it was before.
    for key in touched {
        let start = room.rows.state(span.start).entry(&key.0, &key.1)?;
        let known = room.rows.state(span.known).entry(&key.0, &key.1)?;
        if let Some(start) = start
            && known.is_none_or(|known| known.event != start.event)
        {
            chosen.insert(key, start.event);
        }
    }
    Ok(chosen)
}

/// The places of the state that the timeline changes.
fn touched(timeline: &[EventView<'_>]) -> HashSet<Key> {
    let key = |view: &EventView<'_>| {
        Some((view.event_type.to_string(), view.state_key.as_deref()?.to_owned()))
    };
    timeline.iter().filter_map(key).collect()
}

/// Leaves out the members that the client can do without, and adds those that it needs to show the
/// timeline.
///
/// "Servers MUST include the syncing user's own membership event when they join a room, or when the
/// full state of rooms is requested"; when the timeline has a gap, all members that changed in it
/// are told, because they are differences.
fn load_lazily(
    room: &RoomView<'_>,
    span: &Span<'_>,
    filter: &EventFilter,
    sent: &SentMembers,
    chosen: &mut BTreeMap<Key, EventNumber>,
) -> Result<(), StoreError> {
    let needed = needed(room, span);
    let everything = span.known == StateTree::EMPTY;
    if everything {
        chosen.retain(|(event_type, user), _| event_type != MEMBER || needed.contains(&**user));
    }
    let root = if span.to_the_end { span.end } else { span.start };
    let mut added = HashMap::new();
    for user in needed {
        let key = (MEMBER.to_owned(), user.to_owned());
        if chosen.contains_key(&key) {
            continue;
        }
        let Some(entry) = room.rows.state(root).entry(MEMBER, user)? else { continue };
        let known = !filter.include_redundant_members
            && sent.knows(room.reader, room.rows.room, entry.event, span.since);
        // A member event that is in the timeline need not be told before it.
        let shown =
            !span.to_the_end && span.timeline.iter().any(|view| view.stored.number == entry.event);
        if !known && !shown {
            added.insert(key, entry.event);
        }
    }
    chosen.extend(added);
    Ok(())
}

fn needed<'a>(room: &'a RoomView<'_>, span: &'a Span<'_>) -> HashSet<&'a str> {
    let mut needed: HashSet<&str> = span.timeline.iter().map(|view| &*view.sender).collect();
    needed.extend(span.heroes.iter().map(|hero| hero.as_str()));
    if span.known == StateTree::EMPTY {
        needed.insert(room.reader.user.as_str());
    }
    if span.to_the_end {
        let members = span.timeline.iter().filter(|view| view.event_type == MEMBER);
        needed.extend(members.filter_map(|view| view.state_key.as_deref()));
    }
    needed.retain(|user| <&UserId>::try_from(*user).is_ok());
    needed
}

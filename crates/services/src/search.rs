//! Searching messages by their words.
//!
//! There is no index: a search reads back through the rooms that the user may read, newest first,
//! looks at so many events and no more, and tells where to go on. Encrypted messages are not found:
//! the server cannot read them.
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#server-side-search>.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
};

use kv::{Snapshot, StoreError};
use model::EventNumber;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use store::{
    events::{self, Order},
    memberships::{self, Kind},
};

use self::words::Words;
use crate::{
    Context,
    client_event::{ClientEvent, EventFormat, EventView},
    filter::EventFilter,
    reader::{Reader, RoomView, ignored_users},
    timeline::token,
};

mod words;

/// Which part of which events is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Key {
    #[serde(rename = "content.body")]
    Body,
    #[serde(rename = "content.name")]
    Name,
    #[serde(rename = "content.topic")]
    Topic,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ranking {
    #[default]
    Rank,
    Recent,
}

#[derive(Clone, Debug)]
pub struct SearchQuery {
    pub term: String,
    /// Empty: all.
    pub keys: Vec<Key>,
    pub filter: EventFilter,
    pub order: Ranking,
    /// How many events before and after each result are wanted.
    pub surroundings: Option<(usize, usize)>,
    /// Whether the senders of a result's surroundings are.
    pub profiles: bool,
    /// Whether the rooms' state is.
    pub state: bool,
    pub since: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct Results {
    pub count: u64,
    pub highlights: Vec<String>,
    pub results: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_batch: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, Vec<Box<RawValue>>>,
    /// Room and sender of each result, for groups.
    #[serde(skip)]
    pub origins: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
pub struct Found {
    pub rank: f64,
    pub result: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Around>,
}

/// What was said before and after a result.
#[derive(Debug, Serialize)]
pub struct Around {
    pub start: String,
    pub end: String,
    pub events_before: Vec<Box<RawValue>>,
    pub events_after: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub profile_info: BTreeMap<OwnedUserId, Profile>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub displayname: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("the token is not one of ours")]
    BadToken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Searches the rooms of one homeserver.
pub struct Search {
    context: Context,
}

/// Results of a page, when the client does not say, and at most.
const RESULTS_DEFAULT: usize = 10;
const RESULTS_MAX: usize = 100;
/// Events on each side of a result.
const AROUND_MAX: usize = 20;
/// Events that one request looks at.
const EVENTS_MAX: usize = 50_000;
const CHUNK: usize = 500;
/// Matches that are kept for ranking.
const MATCHES_MAX: usize = 10_000;

/// An event with the wanted words.
struct Match {
    room: usize,
    order: Order,
    number: EventNumber,
    rank: f64,
}

/// Where a page begins: what was found before it, and how many of those are skipped or after which
/// event in time it begins.
#[derive(Clone, Copy, Default)]
struct Place {
    count: u64,
    skip: usize,
    before: Option<Order>,
}

impl Search {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    pub async fn search(&self, reader: Reader, query: SearchQuery) -> Result<Results, SearchError> {
        let context = self.context.clone();
        self.context.store.read(move |rows| search(&context, rows, &reader, &query)).await
    }
}

fn search(
    context: &Context,
    rows: &Snapshot,
    reader: &Reader,
    query: &SearchQuery,
) -> Result<Results, SearchError> {
    let place = match &query.since {
        Some(since) => Place::parse(since).ok_or(SearchError::BadToken)?,
        None => Place::default(),
    };
    let words = Words::of(&query.term);
    let rooms = rooms(context, rows, reader, &query.filter)?;
    let mut matches = Vec::new();
    if !words.is_empty() {
        let each = EVENTS_MAX / rooms.len().max(1);
        for (index, room) in rooms.iter().enumerate() {
            look_through(room, (index, each), (&words, query), &mut matches)?;
        }
    }
    match query.order {
        Ranking::Recent => matches.sort_by_key(|found| Reverse(found.order)),
        Ranking::Rank => {
            matches.sort_by(|a, b| b.rank.total_cmp(&a.rank).then(b.order.cmp(&a.order)));
        }
    }
    let count = place.count.max(matches.len() as u64);
    if let Some(before) = place.before {
        matches.retain(|found| found.order < before);
    }
    let limit = query.filter.limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(RESULTS_DEFAULT).clamp(1, RESULTS_MAX);
    let page: Vec<Match> = matches.into_iter().skip(place.skip).take(limit).collect();
    let next = (page.len() == limit).then(|| match (query.order, page.last()) {
        (Ranking::Recent, Some(last)) => Place { count, skip: 0, before: Some(last.order) },
        _ => Place { count, skip: place.skip + page.len(), before: None },
    });
    let mut results = Results {
        count,
        highlights: words.into_list(),
        next_batch: next.map(|next| next.to_string()),
        ..Results::default()
    };
    for found in &page {
        show(&rooms[found.room], found, query, &mut results)?;
    }
    Ok(results)
}

/// The rooms that are searched: those the user is in, and those he left and has not forgotten.
fn rooms<'a>(
    context: &Context,
    rows: &'a Snapshot,
    reader: &'a Reader,
    filter: &EventFilter,
) -> Result<Vec<RoomView<'a>>, StoreError> {
    let ignored = ignored_users(rows, reader)?;
    let memberships = memberships::of_user(rows, reader.user.localpart())?.into_iter();
    let readable = memberships.filter(|(_, row)| match row.kind {
        Kind::Join => true,
        Kind::Leave | Kind::Ban => !row.forgotten,
        Kind::Invite | Kind::Knock => false,
    });
    let numbers: Vec<_> = readable.map(|(room, _)| room).collect();
    let heads = store::rooms::heads(rows, &numbers)?;
    let mut rooms = Vec::new();
    for (number, head) in numbers.into_iter().zip(heads) {
        let Some(head) = head else { continue };
        let room = RoomView::new(context, rows, reader, (number, head), ignored.clone())?;
        if filter.wants_room(&room.room_id) && room.is_open()? {
            rooms.push(room);
        }
    }
    Ok(rooms)
}

/// Adds the room's matches, as far back as may be looked.
fn look_through(
    room: &RoomView<'_>,
    (index, events_max): (usize, usize),
    (words, query): (&Words, &SearchQuery),
    matches: &mut Vec<Match>,
) -> Result<(), StoreError> {
    let (mut to, mut looked_at) = (Order::MAX, 0);
    while looked_at < events_max && matches.len() < MATCHES_MAX {
        let (snapshot, number) = (room.rows.snapshot, room.rows.room);
        let rows = events::timeline(snapshot, number, (Order::MIN, to), true, CHUNK)?;
        let numbers: Vec<EventNumber> = rows.iter().map(|(_, number)| *number).collect();
        for (event, (order, number)) in room.stored_all(&numbers)?.iter().zip(&rows) {
            let view = EventView::read(event)?;
            let Some(rank) = text(&view, &query.keys).and_then(|text| words.rank(&text)) else {
                continue;
            };
            if room.shows(event, &query.filter)? {
                matches.push(Match { room: index, order: *order, number: *number, rank });
            }
        }
        looked_at += rows.len();
        match rows.last() {
            Some((oldest, _)) if rows.len() == CHUNK => to = *oldest,
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// What of the event is searched.
fn text(event: &EventView<'_>, keys: &[Key]) -> Option<String> {
    let (key, field) = match (&*event.event_type, event.state_key.is_some()) {
        ("m.room.message", false) => (Key::Body, "body"),
        ("m.room.name", true) => (Key::Name, "name"),
        ("m.room.topic", true) => (Key::Topic, "topic"),
        _ => return None,
    };
    if !keys.is_empty() && !keys.contains(&key) {
        return None;
    }
    let content: Value = serde_json::from_str(event.content.get()).ok()?;
    content[field].as_str().map(str::to_owned)
}

fn show(
    room: &RoomView<'_>,
    found: &Match,
    query: &SearchQuery,
    results: &mut Results,
) -> Result<(), StoreError> {
    let Some(event) = room.stored(found.number)? else { return Ok(()) };
    let mut shown = room.render(std::slice::from_ref(&event), EventFormat::Full)?;
    let context = match query.surroundings {
        Some(limits) => Some(around(room, (&event, found.order), limits, query.profiles)?),
        None => None,
    };
    let room_id = room.room_id.to_string();
    let sender = EventView::read(&event)?.sender.into_owned();
    if query.state && !results.state.contains_key(&room_id) {
        let state = room.state_around(&event, &[], &EventFilter::default())?;
        results.state.insert(room_id.clone(), state);
    }
    results.origins.push((room_id, sender));
    results.results.push(Found { rank: found.rank, result: shown.remove(0), context });
    Ok(())
}

fn around(
    room: &RoomView<'_>,
    (event, order): (&ClientEvent, Order),
    (before, after): (usize, usize),
    profiles: bool,
) -> Result<Around, StoreError> {
    let all = EventFilter::default();
    let before = room.page((Order::MIN, order), true, before.min(AROUND_MAX), &all)?.events;
    let range = (token::after(order), Order::MAX);
    let after = room.page(range, false, after.min(AROUND_MAX), &all)?.events;
    let start = before.last().and_then(|event| event.order()).unwrap_or(order);
    let end = after.last().and_then(|event| event.order()).unwrap_or(order);
    let mut profile_info = BTreeMap::new();
    if profiles && let Some(root) = event.record.state_after {
        let mut senders = HashSet::new();
        for event in before.iter().chain(&after).chain(std::iter::once(event)) {
            senders.insert(EventView::read(event)?.sender.into_owned());
        }
        for sender in senders {
            let member = room.rows.state(root).event("m.room.member", &sender)?;
            let profile = member.and_then(|member| member.pdu.content_as::<Profile>());
            let sender = OwnedUserId::try_from(sender).ok();
            profile_info.extend(sender.map(|sender| (sender, profile.unwrap_or_default())));
        }
    }
    Ok(Around {
        start: token::format(start),
        end: token::format(token::after(end)),
        events_before: room.render(&before, EventFormat::Full)?,
        events_after: room.render(&after, EventFormat::Full)?,
        profile_info,
    })
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, skip, before } = self;
        match before {
            Some(Order(order, index)) => write!(f, "f{count}_b{order}_{index}"),
            None => write!(f, "f{count}_s{skip}"),
        }
    }
}

impl Place {
    fn parse(token: &str) -> Option<Self> {
        let (count, rest) = token.strip_prefix('f')?.split_once('_')?;
        let count = count.parse().ok()?;
        if let Some(skip) = rest.strip_prefix('s') {
            return Some(Self { count, skip: skip.parse().ok()?, before: None });
        }
        let (order, index) = rest.strip_prefix('b')?.split_once('_')?;
        let before = Order(order.parse().ok()?, index.parse().ok()?);
        Some(Self { count, skip: 0, before: Some(before) })
    }
}

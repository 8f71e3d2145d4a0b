//! What relates to an event, and the threads of a room.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#relationships-api>.

use std::collections::{BTreeMap, HashSet};

use kv::StoreError;
use model::EventNumber;
use ruma::{EventId, OwnedEventId, OwnedRoomId};
use serde::Serialize;
use serde_json::value::RawValue;
use store::{
    events::Order,
    relations::{self, Child, Relation, THREAD},
};

use super::{Direction, ReadError, Timelines, boundary, open, token};
use crate::{
    client_event::{ClientEvent, EventFormat, EventView},
    filter::EventFilter,
    reader::{Reader, RoomView},
};

#[derive(Clone, Debug)]
pub struct RelationsQuery {
    pub room_id: OwnedRoomId,
    pub event_id: OwnedEventId,
    pub rel_type: Option<String>,
    pub event_type: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub direction: Direction,
    pub limit: Option<u64>,
    pub recurse: bool,
}

/// Events that relate to another one, as `GET /relations` answers them.
#[derive(Debug, Serialize)]
pub struct Related {
    pub chunk: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recursion_depth: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct ThreadsQuery {
    pub room_id: OwnedRoomId,
    /// Only threads that the reader participates in.
    pub participated: bool,
    pub limit: Option<u64>,
    pub from: Option<String>,
}

/// Roots of threads, as `GET /threads` answers them.
#[derive(Debug, Serialize)]
pub struct Threads {
    pub chunk: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_batch: Option<String>,
}

const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;
/// "Homeservers SHOULD traverse at least 3 levels of relationships."
const DEPTH_MAX: u64 = 3;
/// Events that one recursion visits.
const VISITED_MAX: usize = 500;
/// Replies that are looked at for one page of threads.
const REPLIES_MAX: usize = 1_000;

impl Timelines {
    pub async fn relations(
        &self,
        reader: Reader,
        query: RelationsQuery,
    ) -> Result<Related, ReadError> {
        let context = self.context.clone();
        self.context
            .store
            .read(move |rows| {
                let room = RoomView::open(&context, rows, &reader, &query.room_id)?;
                related(&room.ok_or(ReadError::NoSuchEvent)?, &query)
            })
            .await
    }

    pub async fn threads(&self, reader: Reader, query: ThreadsQuery) -> Result<Threads, ReadError> {
        let context = self.context.clone();
        self.context
            .store
            .read(move |rows| {
                let room = open(&context, rows, &reader, &query.room_id)?;
                threads(&room, &query)
            })
            .await
    }
}

fn limit(asked: Option<u64>) -> usize {
    let asked = asked.map(|limit| usize::try_from(limit).unwrap_or(LIMIT_MAX));
    asked.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
}

fn related(room: &RoomView<'_>, query: &RelationsQuery) -> Result<Related, ReadError> {
    room.visible(&query.event_id)?.ok_or(ReadError::NoSuchEvent)?;
    let backwards = query.direction == Direction::Backward;
    let (from, to) = (boundary(query.from.as_deref())?, boundary(query.to.as_deref())?);
    let (low, high) = if backwards { (to, from) } else { (from, to) };
    let range = (low.unwrap_or(Order::MIN), high.unwrap_or(Order::MAX));
    let limit = limit(query.limit);

    let (mut children, depth) = match query.recurse {
        true => descendants(room, query)?,
        false => (children(room, &query.event_id, query, range, limit + 1)?, 1),
    };
    children.retain(|child| (range.0..range.1).contains(&child.order));
    children.sort_by_key(|child| child.order);
    if backwards {
        children.reverse();
    }
    let more = children.len() > limit;
    children.truncate(limit);
    let next = children.last().filter(|_| more).map(|last| match backwards {
        true => last.order,
        false => token::after(last.order),
    });
    let numbers: Vec<EventNumber> = children.iter().map(|child| child.number).collect();
    let mut events = room.stored_all(&numbers)?;
    retain_visible(room, &mut events)?;
    Ok(Related {
        chunk: room.render(&events, EventFormat::Full)?,
        next_batch: next.map(token::format),
        prev_batch: query.from.clone(),
        recursion_depth: query.recurse.then_some(depth),
    })
}

fn retain_visible(room: &RoomView<'_>, events: &mut Vec<ClientEvent>) -> Result<(), StoreError> {
    let mut visible = Vec::with_capacity(events.len());
    for event in events.drain(..) {
        if event.record.redacted_by.is_none() && room.shows(&event, &EventFilter::default())? {
            visible.push(event);
        }
    }
    *events = visible;
    Ok(())
}

/// The nearest children of the wanted kinds: up to `limit` of each relation type.
fn children(
    room: &RoomView<'_>,
    parent: &EventId,
    query: &RelationsQuery,
    range: (Order, Order),
    limit: usize,
) -> Result<Vec<Child>, StoreError> {
    let (snapshot, number) = (room.rows.snapshot, room.rows.room);
    let backwards = query.direction == Direction::Backward;
    let rel_types: Vec<String> = match &query.rel_type {
        Some(rel_type) => vec![rel_type.clone()],
        None => relations::counts(snapshot, number, parent)?.into_iter().map(|(t, _)| t).collect(),
    };
    let mut children = Vec::new();
    for rel_type in rel_types {
        let relation = Relation { parent: parent.to_owned(), rel_type };
        // Children of another type must not use up the limit.
        let page = if query.event_type.is_some() { VISITED_MAX } else { limit };
        children.extend(relations::list(snapshot, number, &relation, range, backwards, page)?);
    }
    if let Some(event_type) = &query.event_type {
        children.retain(|child| child.event_type == *event_type);
    }
    Ok(children)
}

/// Children, their children, and so on; and how deep that went. Each event is visited once, so
/// circles end.
fn descendants(
    room: &RoomView<'_>,
    query: &RelationsQuery,
) -> Result<(Vec<Child>, u64), StoreError> {
    let everything = (Order::MIN, Order::MAX);
    let any = RelationsQuery { rel_type: None, event_type: None, ..query.clone() };
    let wanted = |rel_type: &str, child: &Child| {
        query.rel_type.as_deref().is_none_or(|wanted| wanted == rel_type)
            && query.event_type.as_deref().is_none_or(|wanted| wanted == child.event_type)
    };
    let mut found: BTreeMap<Order, Child> = BTreeMap::new();
    let mut visited: HashSet<EventNumber> = HashSet::new();
    let mut level = vec![query.event_id.clone()];
    let mut depth = 0;
    while depth < DEPTH_MAX && !level.is_empty() && visited.len() < VISITED_MAX {
        depth += 1;
        let mut next = Vec::new();
        for parent in level {
            let (snapshot, number) = (room.rows.snapshot, room.rows.room);
            for (rel_type, _) in relations::counts(snapshot, number, &parent)? {
                let of_type = RelationsQuery { rel_type: Some(rel_type.clone()), ..any.clone() };
                let page = children(room, &parent, &of_type, everything, VISITED_MAX)?;
                for child in page.into_iter().filter(|child| visited.insert(child.number)) {
                    next.push(child.number);
                    if wanted(&rel_type, &child) {
                        found.insert(child.order, child);
                    }
                }
            }
        }
        next.truncate(VISITED_MAX);
        let events = room.stored_all(&next)?.into_iter();
        level = events.filter_map(|event| event.record.event_id.as_str().try_into().ok()).collect();
    }
    Ok((found.into_values().collect(), depth))
}

fn threads(room: &RoomView<'_>, query: &ThreadsQuery) -> Result<Threads, ReadError> {
    let before = boundary(query.from.as_deref())?.unwrap_or(Order::MAX);
    let limit = limit(query.limit);
    let (snapshot, number) = (room.rows.snapshot, room.rows.room);
    let replies = relations::thread_replies(snapshot, number, before, REPLIES_MAX)?;
    let exhausted = replies.len() < REPLIES_MAX;
    let mut roots: Vec<ClientEvent> = Vec::new();
    let mut reached = None;
    for (order, root) in &replies {
        if roots.len() == limit {
            let next_batch = reached.map(token::format);
            return Ok(Threads { chunk: room.render(&roots, EventFormat::Full)?, next_batch });
        }
        reached = Some(*order);
        if !is_newest_reply(room, root, *order)? {
            continue;
        }
        let Some(root_event) = room.visible(root)? else { continue };
        let wanted =
            !query.participated || room.participates(&EventView::read(&root_event)?, root)?;
        if wanted {
            roots.push(root_event);
        }
    }
    let next_batch = reached.filter(|_| !exhausted).map(token::format);
    Ok(Threads { chunk: room.render(&roots, EventFormat::Full)?, next_batch })
}

/// A thread is listed where its newest reply is, and nowhere else.
fn is_newest_reply(room: &RoomView<'_>, root: &EventId, order: Order) -> Result<bool, StoreError> {
    let relation = Relation { parent: root.to_owned(), rel_type: THREAD.to_owned() };
    let (snapshot, number) = (room.rows.snapshot, room.rows.room);
    let range = (Order::MIN, Order::MAX);
    let newest = relations::list(snapshot, number, &relation, range, true, 1)?;
    Ok(newest.first().is_some_and(|child| child.order == order))
}

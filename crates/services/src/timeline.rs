//! Reading a room's past: pages of messages, the surroundings of an event, single events.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room>.

use kv::StoreError;
use ruma::{OwnedEventId, OwnedRoomId};
use serde::Serialize;
use serde_json::value::RawValue;
use store::events::Order;

use crate::{
    Context,
    client_event::{ClientEvent, EventFormat, EventView},
    filter::EventFilter,
    reader::{Reader, RoomView},
};

mod by_time;
mod relations;
pub mod token;

#[cfg(test)]
mod tests;

pub use by_time::{EventAtTime, nearest_shown};
pub use relations::{Related, RelationsQuery, Threads, ThreadsQuery};

/// Why a room's past could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The reader is not and was not in the room, and it is not open to everybody; or there is no
    /// such room, which nobody is told.
    #[error("you are not a member of the room")]
    NotAllowed,
    /// There is no such event, or the reader may not see it.
    #[error("the event was not found")]
    NoSuchEvent,
    #[error("the token is not one of ours")]
    BadToken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The direction of a walk through a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Backward,
    Forward,
}

#[derive(Clone, Debug)]
pub struct MessagesQuery {
    pub room_id: OwnedRoomId,
    pub from: Option<String>,
    pub to: Option<String>,
    pub direction: Direction,
    pub limit: Option<u64>,
    pub filter: EventFilter,
}

/// A page of a room's timeline, as `GET /messages` answers it.
#[derive(Debug, Serialize)]
pub struct Messages {
    pub start: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// A list of events.
    pub chunk: Box<RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<Box<RawValue>>,
    /// Whether the walk came to the oldest event that this homeserver has, and it is not the
    /// room's first: others may have more.
    #[serde(skip)]
    pub has_gap: bool,
}

#[derive(Clone, Debug)]
pub struct ContextQuery {
    pub room_id: OwnedRoomId,
    pub event_id: OwnedEventId,
    pub limit: Option<u64>,
    pub filter: EventFilter,
}

/// An event and its surroundings, as `GET /context` answers it.
#[derive(Debug, Serialize)]
pub struct Surroundings {
    pub start: String,
    pub end: String,
    pub event: Box<RawValue>,
    pub events_before: Vec<Box<RawValue>>,
    pub events_after: Vec<Box<RawValue>>,
    pub state: Vec<Box<RawValue>>,
}

/// Reads the timelines of one homeserver's rooms. Cheap to clone.
#[derive(Clone)]
pub struct Timelines {
    context: Context,
}

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 500;

impl Timelines {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    pub async fn messages(
        &self,
        reader: Reader,
        query: MessagesQuery,
    ) -> Result<Messages, ReadError> {
        let context = self.context.clone();
        let position = context.log.position();
        self.context
            .store
            .read(move |rows| {
                let room = open(&context, rows, &reader, &query.room_id)?;
                messages(&room, &query, position)
            })
            .await
    }

    pub async fn surroundings(
        &self,
        reader: Reader,
        query: ContextQuery,
    ) -> Result<Surroundings, ReadError> {
        let context = self.context.clone();
        let position = context.log.position();
        self.context
            .store
            .read(move |rows| {
                let room = RoomView::open(&context, rows, &reader, &query.room_id)?;
                let room = room.ok_or(ReadError::NoSuchEvent)?;
                surroundings(&room, &query, position)
            })
            .await
    }

    /// One event, as its reader may see it.
    pub async fn event(
        &self,
        reader: Reader,
        room_id: OwnedRoomId,
        event_id: OwnedEventId,
    ) -> Result<Option<Box<RawValue>>, StoreError> {
        let context = self.context.clone();
        self.context
            .store
            .read(move |rows| {
                let Some(room) = RoomView::open(&context, rows, &reader, &room_id)? else {
                    return Ok(None);
                };
                let Some(event) = room.visible(&event_id)? else { return Ok(None) };
                Ok(room.render(&[event], EventFormat::Full)?.pop())
            })
            .await
    }
}

/// The room, if the reader may read anything of it.
pub(crate) fn open<'a>(
    context: &Context,
    rows: &'a kv::Snapshot,
    reader: &'a Reader,
    room_id: &ruma::RoomId,
) -> Result<RoomView<'a>, ReadError> {
    match RoomView::open(context, rows, reader, room_id)? {
        Some(room) if room.is_open()? => Ok(room),
        _ => Err(ReadError::NotAllowed),
    }
}

pub(crate) fn boundary(token: Option<&str>) -> Result<Option<Order>, ReadError> {
    token.map(|token| token::parse(token).ok_or(ReadError::BadToken)).transpose()
}

fn limit(asked: Option<u64>) -> usize {
    asked.map_or(LIMIT_DEFAULT, |limit| usize::try_from(limit).unwrap_or(LIMIT_MAX)).min(LIMIT_MAX)
}

fn messages(
    room: &RoomView<'_>,
    query: &MessagesQuery,
    position: u64,
) -> Result<Messages, ReadError> {
    let backwards = query.direction == Direction::Backward;
    let now = token::after_position(position);
    let (from, to) = (boundary(query.from.as_deref())?, boundary(query.to.as_deref())?);
    let (start, range) = match backwards {
        true => {
            let from = from.unwrap_or(now);
            (from, (to.unwrap_or(Order::MIN), from))
        }
        false => {
            let from = from.unwrap_or(Order::MIN);
            (from, (from, to.unwrap_or(now)))
        }
    };
    let limit = limit(query.limit.or(query.filter.limit)).max(1);
    let page = room.page(range, backwards, limit, &query.filter)?;
    let has_gap = backwards && page.next.is_none() && to.is_none() && has_gap(room)?;
    // Where others may have more, the client is to come back for it. So it is when it reads forward
    // and more may happen, or when it has not seen that this was the room's beginning.
    let oldest = page.events.last().filter(|_| backwards);
    let hidden = oldest.map(|event| Ok(!EventView::read(event)?.is_at("m.room.create", "")));
    let hidden = hidden.unwrap_or(Ok::<_, StoreError>(false))? && !query.filter.is_open();
    let end = page.next.or_else(|| match backwards {
        true => oldest.and_then(|event| event.order()).filter(|_| has_gap || hidden),
        false => page.events.last().and_then(|event| event.order()).map(token::after),
    });
    Ok(Messages {
        start: token::format(start),
        end: end.map(token::format),
        chunk: room.render_list(&page.events)?,
        state: room.senders(&page.events, &query.filter)?,
        has_gap,
    })
}

/// Whether the room's timeline begins with something else than its first event.
fn has_gap(room: &RoomView<'_>) -> Result<bool, StoreError> {
    let range = (Order::MIN, Order::MAX);
    let first = store::events::timeline(room.rows.snapshot, room.rows.room, range, false, 1)?;
    let Some((_, number)) = first.first() else { return Ok(true) };
    let Some(event) = room.stored(*number)? else { return Ok(true) };
    Ok(!EventView::read(&event)?.is_at("m.room.create", ""))
}

fn surroundings(
    room: &RoomView<'_>,
    query: &ContextQuery,
    position: u64,
) -> Result<Surroundings, ReadError> {
    let event = room.visible(&query.event_id)?.ok_or(ReadError::NoSuchEvent)?;
    let order = event.order().ok_or(ReadError::NoSuchEvent)?;
    let limit = limit(query.limit);
    let now = token::after_position(position);
    let before = room.page((Order::MIN, order), true, limit / 2, &query.filter)?;
    let rest = limit - limit / 2;
    let after = room.page((token::after(order), now), false, rest, &query.filter)?;

    let last = after.events.last().unwrap_or(&event);
    let end = last.order().map_or(now, token::after);
    let first = before.events.last().and_then(|event| event.order()).unwrap_or(order);
    let mut shown: Vec<ClientEvent> = vec![event.clone()];
    shown.extend(before.events.iter().chain(&after.events).cloned());
    Ok(Surroundings {
        start: token::format(first),
        end: token::format(end),
        state: room.state_around(last, &shown, &query.filter)?,
        event: room.render(std::slice::from_ref(&event), EventFormat::Full)?.remove(0),
        events_before: room.render(&before.events, EventFormat::Full)?,
        events_after: room.render(&after.events, EventFormat::Full)?,
    })
}

//! The event of a room that was sent nearest to a time.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event>.
//! A timeline stands in the order in which events came, and their times mostly follow it: so the
//! place is found by halving, and events that came out of turn are looked for around it.

use kv::StoreError;
use model::EventNumber;
use ruma::OwnedRoomId;
use serde::Serialize;
use store::events::{self, Order};

use super::{Direction, ReadError, Timelines, open};
use crate::{
    client_event::EventView,
    filter::EventFilter,
    reader::{Reader, RoomView},
    room_rows::{Event, RoomRows},
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventAtTime {
    pub event_id: String,
    pub origin_server_ts: u64,
    /// It is the oldest event that this homeserver has, and not the room's first: others may have a
    /// nearer one.
    #[serde(skip)]
    pub may_be_nearer: bool,
}

/// Events that are looked at on each side of the place that halving found.
const AROUND_MAX: usize = 64;

impl Timelines {
    /// The event nearest to the time that was not sent before it (forward) or after it (backward).
    pub async fn event_at_time(
        &self,
        reader: Reader,
        room_id: OwnedRoomId,
        time_ms: u64,
        direction: Direction,
    ) -> Result<Option<EventAtTime>, ReadError> {
        let context = self.context.clone();
        self.context
            .store
            .read(move |rows| {
                let room = open(&context, rows, &reader, &room_id)?;
                Ok(nearest(&room, time_ms, direction)?)
            })
            .await
    }
}

/// The same for who is no user of ours: `shows` says which events he may see.
pub fn nearest_shown(
    rows: RoomRows<'_>,
    time_ms: u64,
    direction: Direction,
    shows: impl Fn(&Event) -> Result<bool, StoreError>,
) -> Result<Option<EventAtTime>, StoreError> {
    let place = first_not_before(rows, time_ms)?;
    let number = |(_, number): (Order, EventNumber)| number;
    let before = (Order::MIN, place);
    let before = events::timeline(rows.snapshot, rows.room, before, true, AROUND_MAX)?;
    let after = (place, Order::MAX);
    let after = events::timeline(rows.snapshot, rows.room, after, false, AROUND_MAX)?;
    let around: Vec<_> = before.into_iter().rev().chain(after).map(number).collect();
    let mut nearest: Option<EventAtTime> = None;
    for event in rows.events(&around)? {
        let sent_at = event.pdu.origin_server_ts;
        let is_nearer = match (direction, &nearest) {
            (Direction::Forward, Some(found)) => {
                (time_ms..found.origin_server_ts).contains(&sent_at)
            }
            (Direction::Forward, None) => sent_at >= time_ms,
            (Direction::Backward, Some(found)) => {
                (found.origin_server_ts..=time_ms).contains(&sent_at)
            }
            (Direction::Backward, None) => sent_at <= time_ms,
        };
        if is_nearer && event.is_accepted() && shows(&event)? {
            let event_id = event.pdu.event_id.to_string();
            nearest =
                Some(EventAtTime { event_id, origin_server_ts: sent_at, may_be_nearer: false });
        }
    }
    Ok(nearest)
}

fn nearest(
    room: &RoomView<'_>,
    time_ms: u64,
    direction: Direction,
) -> Result<Option<EventAtTime>, StoreError> {
    let place = first_not_before(room.rows, time_ms)?;
    let all = EventFilter::default();
    let after = room.page((place, Order::MAX), false, AROUND_MAX, &all)?;
    let before = room.page((Order::MIN, place), true, AROUND_MAX, &all)?;
    // In the order of the timeline, so that of events of the same time the next one is taken.
    let around = before.events.iter().rev().chain(&after.events);
    let around = around.map(EventView::read).collect::<Result<Vec<_>, _>>()?;
    let time = |view: &&EventView<'_>| view.origin_server_ts;
    let nearest = match direction {
        Direction::Forward => {
            around.iter().filter(|view| view.origin_server_ts >= time_ms).min_by_key(time)
        }
        Direction::Backward => {
            around.iter().filter(|view| view.origin_server_ts <= time_ms).max_by_key(time)
        }
    };
    let Some(nearest) = nearest else { return Ok(None) };
    // Going forward, what is missing may begin before the oldest event that is here.
    let oldest = edge(room.rows, false)?;
    let is_oldest = nearest.stored.order() == oldest && !nearest.is_at("m.room.create", "");
    Ok(Some(EventAtTime {
        event_id: nearest.event_id().to_owned(),
        origin_server_ts: nearest.origin_server_ts,
        may_be_nearer: is_oldest && direction == Direction::Forward,
    }))
}

/// The order of the first event that was not sent before the time, as far as times follow orders.
fn first_not_before(rows: RoomRows<'_>, time_ms: u64) -> Result<Order, StoreError> {
    let (Some(first), Some(last)) = (edge(rows, false)?, edge(rows, true)?) else {
        return Ok(Order::MAX);
    };
    let (mut low, mut high) = (first.0, last.0 + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let range = (Order(middle, 0), Order(high, 0));
        let next = events::timeline(rows.snapshot, rows.room, range, false, 1)?;
        let Some((order, number)) = next.first() else {
            high = middle;
            continue;
        };
        match rows.event(*number)?.map(|event| event.pdu.origin_server_ts) {
            Some(sent_at) if sent_at < time_ms => low = order.0 + 1,
            _ => high = middle,
        }
    }
    Ok(Order(low, 0))
}

fn edge(rows: RoomRows<'_>, newest: bool) -> Result<Option<Order>, StoreError> {
    let range = (Order::MIN, Order::MAX);
    let found = events::timeline(rows.snapshot, rows.room, range, newest, 1)?;
    Ok(found.first().map(|(order, _)| *order))
}

//! The newest events of rooms, kept in memory.
//!
//! What many read, and again and again, is the end of a timeline: every /sync of everybody in the
//! room, and the first page of whoever opens it. It is kept as it was read, and holds nothing that
//! the store does not. What was stored before and is shown in another way now (a redaction took
//! effect on it) is forgotten by following the log.

use std::{collections::VecDeque, sync::Arc};

use lru::LruCache;
use model::{EventNumber, RoomNumber};
use parking_lot::Mutex;
use store::{events::Order, log::Change};

use crate::{
    client_event::ClientEvent,
    log::{Follower, Log},
};

#[cfg(test)]
mod tests;

/// Events that are kept of one room.
const EVENTS_MAX: usize = 512;
/// What all rooms of a homeserver may take.
const BYTES_MAX: usize = 8 << 20;

/// The ends of one homeserver's timelines.
pub struct RecentEvents(Arc<Mutex<State>>);

struct State {
    windows: LruCache<RoomNumber, Window>,
    bytes: usize,
    /// Where in the log an event was altered last: who read before that may have read another one.
    altered: u64,
}

/// A part of a timeline without holes.
struct Window {
    /// Oldest first; those that were altered are to be read again.
    events: VecDeque<Entry>,
    /// The boundary up to which it has everything.
    end: Order,
}

struct Entry {
    order: Order,
    number: EventNumber,
    event: Option<Read>,
}

struct Read {
    event: ClientEvent,
    /// The version of the snapshot that it was read from. Older ones may not have what it refers to.
    version: u64,
}

/// A row of a timeline, and its event if it is known.
pub(crate) type Row = (Order, EventNumber, Option<ClientEvent>);

/// What is known of a part of a timeline: all of it between two boundaries.
pub(crate) struct Known {
    pub from: Order,
    pub to: Order,
    /// Newest first.
    pub rows: Vec<Row>,
}

impl RecentEvents {
    /// Empty, and told of whatever changes from now on.
    pub fn following(log: &Log) -> Arc<Self> {
        let state = State { windows: LruCache::unbounded(), bytes: 0, altered: 0 };
        let state = Arc::new(Mutex::new(state));
        let altered = log.follow(Arc::new(Alterations(Arc::clone(&state))));
        state.lock().altered = altered;
        Arc::new(Self(state))
    }

    /// Up to `limit` of the newest events in `from..to` that are known, for somebody who reads at
    /// this version.
    pub(crate) fn newest(
        &self,
        room: RoomNumber,
        (from, to): (Order, Order),
        limit: usize,
        version: u64,
    ) -> Option<Known> {
        let mut state = self.0.lock();
        let window = state.windows.get(&room)?;
        let (from, to) = (from.max(window.start()?), to.min(window.end));
        if from >= to {
            return None;
        }
        let end = window.events.partition_point(|entry| entry.order < to);
        let kept = window.events.range(..end).rev().take_while(|entry| entry.order >= from);
        let row = |entry: &Entry| {
            let read = entry.event.as_ref().filter(|read| read.version <= version);
            (entry.order, entry.number, read.map(|read| read.event.clone()))
        };
        Some(Known { from, to, rows: kept.take(limit).map(row).collect() })
    }

    /// Keeps what was read at a version: all of the room's timeline from the last of these rows up
    /// to `end`, newest first.
    pub(crate) fn keep(&self, room: RoomNumber, rows: &[Row], end: Order, version: u64) {
        let state = &mut *self.0.lock();
        // Nothing is put into the timeline below what is live, and above where one reads.
        let live = rows.iter().take_while(|(order, ..)| *order >= LIVE);
        let Some((start, ..)) = live.clone().last().filter(|_| state.altered <= version) else {
            return;
        };
        let window = state.windows.get_or_insert_mut(room, Window::new);
        state.bytes -= window.bytes();
        if window.start().is_none_or(|known| end < known || *start > window.end) {
            if end < window.end {
                state.bytes += window.bytes();
                return;
            }
            *window = Window::new();
        }
        window.merge(live, version);
        window.end = window.end.max(end);
        window.events.drain(..window.events.len().saturating_sub(EVENTS_MAX));
        state.bytes += window.bytes();
        while state.bytes > BYTES_MAX
            && let Some((_, oldest)) = state.windows.pop_lru()
        {
            state.bytes -= oldest.bytes();
        }
    }
}

const LIVE: Order = Order(0, 0);

impl Window {
    fn new() -> Self {
        Self { events: VecDeque::new(), end: Order::MIN }
    }

    fn start(&self) -> Option<Order> {
        self.events.front().map(|entry| entry.order)
    }

    /// Takes in rows that adjoin it or overlap with it, newest first.
    fn merge<'r>(&mut self, rows: impl Iterator<Item = &'r Row> + Clone, version: u64) {
        let entry = |(order, number, event): &Row| {
            let read = event.clone().map(|event| Read { event, version });
            Entry { order: *order, number: *number, event: read }
        };
        let (start, end) = (self.start().unwrap_or(Order::MAX), self.end);
        let mut above: Vec<&Row> = Vec::new();
        for row in rows {
            if row.0 >= end {
                above.push(row);
            } else if row.0 < start {
                self.events.push_front(entry(row));
            } else if let Ok(index) = self.events.binary_search_by_key(&row.0, |known| known.order)
                && self.events[index].event.is_none()
            {
                self.events[index] = entry(row);
            }
        }
        self.events.extend(above.into_iter().rev().map(entry));
    }

    fn bytes(&self) -> usize {
        let events = self.events.iter().filter_map(|entry| entry.event.as_ref());
        let events: usize = events.map(|read| read.event.bytes()).sum();
        events + self.events.len() * size_of::<Entry>()
    }
}

/// Forgets what the log says has been altered.
struct Alterations(Arc<Mutex<State>>);

impl Follower for Alterations {
    fn changed(&self, position: u64, entry: &[Change]) {
        for change in entry {
            let Change::EventAltered { room, event_id } = change else { continue };
            let state = &mut *self.0.lock();
            state.altered = position;
            let Some(window) = state.windows.peek_mut(room) else { continue };
            for entry in &mut window.events {
                if let Some(read) = &entry.event
                    && read.event.record.event_id == *event_id
                {
                    state.bytes -= read.event.bytes();
                    entry.event = None;
                }
            }
        }
    }
}

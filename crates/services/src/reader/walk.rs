//! Going through a room's timeline.

use kv::StoreError;
use model::EventNumber;
use store::events::{self, Order};

use super::RoomView;
use crate::{client_event::ClientEvent, recent::Row, timeline::token};

impl RoomView<'_> {
    /// Events of the timeline with orders in `from..to`, nearest first in the direction of the walk.
    pub(super) fn walk(
        &self,
        range: (Order, Order),
        backwards: bool,
        limit: usize,
    ) -> Result<Vec<(Order, ClientEvent)>, StoreError> {
        if backwards {
            return self.newest(range, limit);
        }
        let rows = self.rows_of(range, false, limit)?;
        self.with_events(rows)
    }

    /// The newest events of a part of the timeline: those that are known, and what is above and
    /// below them in the store.
    fn newest(
        &self,
        (from, to): (Order, Order),
        limit: usize,
    ) -> Result<Vec<(Order, ClientEvent)>, StoreError> {
        let version = self.rows.snapshot.version();
        let shown = token::after_position(version);
        if to > shown {
            // Of what came meanwhile, the snapshot may show this and not that.
            let rows = self.rows_of((from, to), true, limit)?;
            return self.with_events(rows);
        }
        let known = self.recent.newest(self.rows.room, (from, to), limit, version);
        let (bottom, top) = known.as_ref().map_or((from, from), |known| (known.from, known.to));
        let mut rows = self.rows_of((top, to), true, limit)?;
        rows.extend(known.into_iter().flat_map(|known| known.rows));
        rows.truncate(limit);
        if rows.len() < limit && bottom > from {
            rows.extend(self.rows_of((from, bottom), true, limit - rows.len())?);
        }
        let is_known = rows.iter().all(|(_, _, event)| event.is_some());
        let events = self.with_events(rows)?;
        if !is_known {
            let row =
                |(order, event): &(Order, ClientEvent)| (*order, event.number, Some(event.clone()));
            let rows: Vec<Row> = events.iter().map(row).collect();
            self.recent.keep(self.rows.room, &rows, to, version);
        }
        Ok(events)
    }

    fn rows_of(
        &self,
        range: (Order, Order),
        backwards: bool,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        if range.0 >= range.1 {
            return Ok(Vec::new());
        }
        let (snapshot, room) = (self.rows.snapshot, self.rows.room);
        let rows = events::timeline(snapshot, room, range, backwards, limit)?;
        Ok(rows.into_iter().map(|(order, number)| (order, number, None)).collect())
    }

    /// Reads what is not known yet; one round trip.
    fn with_events(&self, rows: Vec<Row>) -> Result<Vec<(Order, ClientEvent)>, StoreError> {
        let unknown = rows.iter().filter(|(_, _, event)| event.is_none());
        let unknown: Vec<EventNumber> = unknown.map(|(_, number, _)| *number).collect();
        let mut read = self.stored_all(&unknown)?.into_iter();
        let event = |(order, _, event): Row| Some((order, event.or_else(|| read.next())?));
        Ok(rows.into_iter().filter_map(event).collect())
    }
}

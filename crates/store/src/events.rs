//! Events by number and by id, and the order in which a room shows them.

use std::ops::RangeInclusive;

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Snapshot, StoreError, after_prefix};
use model::{EventNumber, RoomNumber};
use ruma::EventId;
use serde::{Deserialize, Serialize};

use crate::{EVENT, EVENT_NUMBER, TIMELINE, value};

/// What this homeserver knows of an event besides the event itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    pub event_id: String,
    pub standing: Standing,
    /// Root of the state before the event; `None` for an outlier.
    pub state_before: Option<[u8; 16]>,
    /// Root of the state after the event; equals `state_before` unless it is an accepted state event.
    pub state_after: Option<[u8; 16]>,
    /// Its auth events, all of which are stored before it.
    pub auth: Vec<EventNumber>,
    /// Where it stands in the timeline.
    pub place: Place,
    /// The redaction that took effect on it.
    pub redacted_by: Option<EventNumber>,
    /// The local device and transaction id that sent it, for that device's echo.
    pub sent_by: Option<SentBy>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    Accepted,
    /// Authorised by its own past, but not by the room's present: never shown to clients.
    SoftFailed,
    /// Failed its own authorisation: kept so that it is not fetched again, never used.
    Rejected,
    /// Known only as part of an auth chain or of a state: not in the room's graph.
    Outlier,
}

/// Whether an event is in its room's timeline, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    Nowhere,
    /// As the n-th event of the commit that wrote this row. Reading turns it into `At`.
    Live(u16),
    At(Order),
}

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub number: EventNumber,
    pub record: EventRecord,
    /// What `model::pdu::Pdu::record` gave; redacted if the event was redacted.
    pub pdu: Bytes,
}

impl StoredEvent {
    /// Where it stands in the timeline; `None` when it is in none.
    pub fn order(&self) -> Option<Order> {
        match self.record.place {
            Place::At(order) => Some(order),
            Place::Nowhere | Place::Live(_) => None,
        }
    }
}

/// Where an event stands in its room's timeline: (log position or a negative number when
/// backfilled, index within that commit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Order(pub i64, pub u16);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentBy {
    pub device_id: String,
    pub transaction_id: String,
}

/// The event with this id: its room and number.
pub fn number(
    snapshot: &Snapshot,
    event_id: &EventId,
) -> Result<Option<(RoomNumber, EventNumber)>, StoreError> {
    let row = snapshot.get(EVENT_NUMBER, event_id.as_bytes())?;
    row.map(|row| value::decode(&row)).transpose()
}

/// [`number`] of several events; one round trip.
pub fn numbers(
    snapshot: &Snapshot,
    event_ids: impl Iterator<Item = impl AsRef<EventId>>,
) -> Result<Vec<Option<(RoomNumber, EventNumber)>>, StoreError> {
    let keys: Vec<Bytes> =
        event_ids.map(|id| Bytes::copy_from_slice(id.as_ref().as_bytes())).collect();
    let rows = snapshot.multi_get(EVENT_NUMBER, &keys)?;
    rows.into_iter().map(|row| row.map(|row| value::decode(&row)).transpose()).collect()
}

pub fn get(
    snapshot: &Snapshot,
    room: RoomNumber,
    event: EventNumber,
) -> Result<Option<StoredEvent>, StoreError> {
    let row = snapshot.get(EVENT, &key(room, event))?;
    row.map(|row| read(event, &row)).transpose()
}

/// [`get`] of several events of a room; one round trip. Unknown numbers give `None`.
pub fn multi_get(
    snapshot: &Snapshot,
    room: RoomNumber,
    events: &[EventNumber],
) -> Result<Vec<Option<StoredEvent>>, StoreError> {
    if let Some(range) = dense(events) {
        return neighbours(snapshot, room, events, range);
    }
    let keys: Vec<Bytes> = events.iter().map(|event| key(room, *event)).collect();
    let rows = snapshot.multi_get(EVENT, &keys)?.into_iter().zip(events);
    rows.map(|(row, event)| row.map(|row| read(*event, &row)).transpose()).collect()
}

/// The range of the numbers, if most of the numbers in it are asked for. A page of a timeline mostly
/// is so: what was said in a row was stored in a row. A walk over all rows of the range then costs
/// less than a search for each.
fn dense(events: &[EventNumber]) -> Option<RangeInclusive<EventNumber>> {
    let (first, last) = (*events.iter().min()?, *events.iter().max()?);
    let worth = events.len() > 2 && last.0 - first.0 < 2 * events.len() as u64;
    worth.then_some(first..=last)
}

fn neighbours(
    snapshot: &Snapshot,
    room: RoomNumber,
    events: &[EventNumber],
    range: RangeInclusive<EventNumber>,
) -> Result<Vec<Option<StoredEvent>>, StoreError> {
    let (first, last) = range.into_inner();
    let mut rows: Vec<Option<Bytes>> = vec![None; (last.0 - first.0 + 1) as usize];
    let place = |number: EventNumber| (number.0 - first.0) as usize;
    let (from, to) = (key(room, first), after_prefix(&key(room, last)));
    snapshot.scan_range(EVENT, &from, &to, |key, row| {
        let number = KeyReader(&key[8..]).u64().map(EventNumber);
        rows[place(number.ok_or_else(|| value::corrupt("event key"))?)] = Some(row);
        Ok(())
    })?;
    let row = |event: &EventNumber| rows[place(*event)].as_ref().map(|row| read(*event, row));
    events.iter().map(|event| row(event).transpose()).collect()
}

/// Calls `visit` with every event of the room, in the order of numbers.
pub fn each(
    snapshot: &Snapshot,
    room: RoomNumber,
    mut visit: impl FnMut(StoredEvent) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let prefix = KeyWriter::new().u64(room.0).finish();
    snapshot.scan_prefix(EVENT, &prefix, |key, row| {
        let mut key = KeyReader(key);
        let number = key.u64().and_then(|_| key.u64());
        let number = number.ok_or_else(|| value::corrupt("event key"))?;
        visit(read(EventNumber(number), &row)?)
    })
}

fn read(number: EventNumber, row: &Bytes) -> Result<StoredEvent, StoreError> {
    let (position, row) = value::unstamp(row)?;
    let (mut record, pdu): (EventRecord, Bytes) = value::decode_with(&row)?;
    if let Place::Live(index) = record.place {
        record.place = Place::At(Order(position as i64, index));
    }
    Ok(StoredEvent { number, record, pdu })
}

/// Stores an event (as `Pdu::record` gives it) under its number and its id.
pub fn put(
    batch: &mut Batch,
    room: RoomNumber,
    event: EventNumber,
    record: &EventRecord,
    pdu: &[u8],
) {
    batch.put_stamped(EVENT, key(room, event), value::encode_with(record, pdu));
    let id = record.event_id.as_bytes().to_vec();
    batch.put(EVENT_NUMBER, id, value::encode(&(room, event)));
}

/// Puts the event into the room's timeline at the position of this commit.
pub fn append_to_timeline(batch: &mut Batch, room: RoomNumber, index: u16, event: EventNumber) {
    let (side, suffix) = Order::live_key(index);
    let prefix = KeyWriter::new().u64(room.0).rest(side).finish();
    batch.put_at_version(TIMELINE, prefix, Bytes::copy_from_slice(&suffix), value::encode(&event));
}

/// Puts a backfilled event into the timeline at a negative order.
pub fn prepend_to_timeline(batch: &mut Batch, room: RoomNumber, order: i64, event: EventNumber) {
    batch.put(TIMELINE, timeline_key(room, Order(order, 0)), value::encode(&event));
}

/// Events of the timeline with orders in `from..to`, nearest first in the direction of the walk.
pub fn timeline(
    snapshot: &Snapshot,
    room: RoomNumber,
    (from, to): (Order, Order),
    backwards: bool,
    limit: usize,
) -> Result<Vec<(Order, EventNumber)>, StoreError> {
    let (from, to) = (timeline_key(room, from), timeline_key(room, to));
    let page = snapshot.scan(TIMELINE, &from, &to, backwards, limit)?;
    let entry = |(key, row): (Bytes, Bytes)| {
        let order = key.get(8..).map(KeyReader).and_then(Order::from_key);
        Ok((order.ok_or_else(|| value::corrupt("timeline key"))?, value::decode(&row)?))
    };
    page.rows.into_iter().map(entry).collect()
}

impl Order {
    pub const MIN: Self = Self(i64::MIN, 0);
    pub const MAX: Self = Self(i64::MAX, u16::MAX);

    /// As the end of a key, in the order of the timeline.
    pub(crate) fn to_key(self) -> [u8; 11] {
        let side = if self.0 >= 0 { LIVE } else { BACKFILLED };
        let mut key = [side; 11];
        // Two's complement keeps the order within each side.
        key[1..9].copy_from_slice(&self.0.to_be_bytes());
        key[9..].copy_from_slice(&self.1.to_be_bytes());
        key
    }

    /// What stands before and after the version in the key of a row that its commit places.
    pub(crate) fn live_key(index: u16) -> ([u8; 1], [u8; 2]) {
        // The version is below 2⁶³, so it is the order's two's complement, too.
        ([LIVE], index.to_be_bytes())
    }

    pub(crate) fn from_key(mut key: KeyReader<'_>) -> Option<Self> {
        key.u8()?;
        let order = key.u64()? as i64;
        Some(Self(order, u16::from_be_bytes(key.rest().try_into().ok()?)))
    }
}

/// Separates live events (after) from backfilled ones (before).
const LIVE: u8 = 1;
const BACKFILLED: u8 = 0;

fn timeline_key(room: RoomNumber, order: Order) -> Bytes {
    KeyWriter::new().u64(room.0).rest(order.to_key()).finish()
}

fn key(room: RoomNumber, event: EventNumber) -> Bytes {
    KeyWriter::new().u64(room.0).u64(event.0).finish()
}

//! Which events relate to an event: its thread, its edits, its references, its annotations.
//!
//! Rows are kept per parent *id*, because a child may be stored before its parent. The writer of a
//! room calls [`put`] for every event that it puts into the timeline, and [`remove`] for every
//! event that a redaction takes effect on; both ignore events that relate to nothing. A redaction
//! that comes before its event waits here, too.

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Op, Snapshot, StoreError, after_prefix};
use model::{EventNumber, RoomNumber, pdu::Pdu};
use ruma::{EventId, OwnedEventId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    RELATION,
    events::{Order, Place},
    value,
};

pub const THREAD: &str = "m.thread";
pub const REPLACE: &str = "m.replace";
pub const REFERENCE: &str = "m.reference";

/// The longest relation type that is indexed: a longer one relates to nothing.
const REL_TYPE_BYTES_MAX: usize = 255;

/// What an event says about its relation to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    pub parent: OwnedEventId,
    pub rel_type: String,
}

/// An event that relates to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    pub order: Order,
    pub number: EventNumber,
    pub event_type: String,
}

#[derive(Serialize, Deserialize)]
struct Row {
    number: EventNumber,
    event_type: String,
}

/// The relation that the event's content declares.
pub fn of(pdu: &Pdu) -> Option<Relation> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: RelatesTo,
    }
    #[derive(Deserialize)]
    struct RelatesTo {
        rel_type: String,
        event_id: OwnedEventId,
    }
    let RelatesTo { rel_type, event_id } = pdu.content_as::<Content>()?.relates_to;
    let fits = !rel_type.is_empty() && rel_type.len() <= REL_TYPE_BYTES_MAX;
    let other = event_id != pdu.event_id;
    (fits && other && !pdu.is_state()).then_some(Relation { parent: event_id, rel_type })
}

/// Indexes the relation of an event that enters the timeline at `place`, if it has one. Returns
/// the event with which it is bundled from now on, if it is.
pub fn put(
    batch: &mut Batch,
    room: RoomNumber,
    number: EventNumber,
    place: Place,
    pdu: &Pdu,
) -> Option<OwnedEventId> {
    let relation = of(pdu)?;
    let row = Row { number, event_type: pdu.event_type.to_string() };
    put_at(batch, children(room, &relation.parent, &relation.rel_type), place, value::encode(&row));
    batch.ops.push(Op::Add(RELATION, count_key(room, &relation), 1));
    let is_bundled = [THREAD, REPLACE, REFERENCE].contains(&&*relation.rel_type);
    if is_bundled {
        batch.put(RELATION, bundled_key(room, relation.parent.as_str()), value::encode(&()));
    }
    if relation.rel_type == THREAD {
        put_at(batch, threads_prefix(room), place, value::encode(&relation.parent.as_str()));
        let participant = participant_key(room, &relation.parent, &pdu.sender);
        batch.put(RELATION, participant, value::encode(&()));
    }
    is_bundled.then_some(relation.parent)
}

/// Forgets the relation of an event that stands at `order`, because it was redacted. `pdu` is the
/// event as it was before.
pub fn remove(batch: &mut Batch, room: RoomNumber, order: Order, pdu: &Pdu) {
    let Some(relation) = of(pdu) else { return };
    batch.delete(RELATION, at(children(room, &relation.parent, &relation.rel_type), order));
    batch.ops.push(Op::Add(RELATION, count_key(room, &relation), -1));
    if relation.rel_type == THREAD {
        batch.delete(RELATION, at(threads_prefix(room), order));
    }
}

/// Lets a redaction wait for the event that it redacts.
pub fn put_redaction(
    batch: &mut Batch,
    room: RoomNumber,
    target: &EventId,
    redaction: EventNumber,
) {
    let key = KeyWriter::new().rest(redactions_prefix(room, target)).u64(redaction.0).finish();
    batch.put(RELATION, key, value::encode(&()));
}

/// The redactions that wait for the event, in the order in which they came.
pub fn redactions_of(
    snapshot: &Snapshot,
    room: RoomNumber,
    target: &EventId,
) -> Result<Vec<EventNumber>, StoreError> {
    let prefix = redactions_prefix(room, target);
    let mut redactions = Vec::new();
    snapshot.scan_prefix(RELATION, &prefix, |key, _| {
        let number = KeyReader(&key[prefix.len()..]).u64();
        redactions.push(EventNumber(number.ok_or_else(|| value::corrupt("waiting redaction"))?));
        Ok(())
    })?;
    Ok(redactions)
}

/// For each event, whether something that is bundled with it (a thread, an edit, a reference) may
/// relate to it; two round trips.
pub fn bundled<'a>(
    snapshot: &Snapshot,
    room: RoomNumber,
    parents: impl Iterator<Item = &'a str>,
) -> Result<Vec<bool>, StoreError> {
    let prefix = KeyWriter::new().u64(room.0).u8(BUNDLED).finish();
    // Of many rooms this is all there is to ask.
    if snapshot.scan(RELATION, &prefix, &after_prefix(&prefix), false, 1)?.rows.is_empty() {
        return Ok(parents.map(|_| false).collect());
    }
    let keys: Vec<Bytes> = parents.map(|parent| bundled_key(room, parent)).collect();
    Ok(snapshot.multi_get(RELATION, &keys)?.into_iter().map(|row| row.is_some()).collect())
}

/// How many events relate to `parent` by each relation type.
pub fn counts(
    snapshot: &Snapshot,
    room: RoomNumber,
    parent: &EventId,
) -> Result<Vec<(String, u64)>, StoreError> {
    let prefix = KeyWriter::new().u64(room.0).u8(COUNT).part(parent.as_str()).finish();
    let mut counts = Vec::new();
    snapshot.scan_prefix(RELATION, &prefix, |key, row| {
        let rel_type = std::str::from_utf8(&key[prefix.len()..]);
        let rel_type = rel_type.map_err(|_| value::corrupt("relation type"))?;
        let count = row.as_ref().try_into().map_err(|_| value::corrupt("relation count"))?;
        counts.push((rel_type.to_owned(), u64::try_from(i64::from_be_bytes(count)).unwrap_or(0)));
        Ok(())
    })?;
    Ok(counts)
}

/// Children of one relation type with orders in `from..to`, nearest first in the direction.
pub fn list(
    snapshot: &Snapshot,
    room: RoomNumber,
    relation: &Relation,
    (from, to): (Order, Order),
    backwards: bool,
    limit: usize,
) -> Result<Vec<Child>, StoreError> {
    let prefix = children(room, &relation.parent, &relation.rel_type);
    let (from, to) = (at(prefix.clone(), from), at(prefix.clone(), to));
    let page = snapshot.scan(RELATION, &from, &to, backwards, limit)?;
    let child = |(key, row): (Bytes, Bytes)| {
        let Row { number, event_type } = value::decode(&row)?;
        Ok(Child { order: order_after(&key, prefix.len())?, number, event_type })
    };
    page.rows.into_iter().map(child).collect()
}

/// The replies in threads of the room with orders before `before`, newest first: (its order, the
/// root of its thread).
pub fn thread_replies(
    snapshot: &Snapshot,
    room: RoomNumber,
    before: Order,
    limit: usize,
) -> Result<Vec<(Order, OwnedEventId)>, StoreError> {
    let prefix = threads_prefix(room);
    let (from, to) = (at(prefix.clone(), Order::MIN), at(prefix.clone(), before));
    let page = snapshot.scan(RELATION, &from, &to, true, limit)?;
    let reply = |(key, row): (Bytes, Bytes)| {
        let root: String = value::decode(&row)?;
        let root = OwnedEventId::try_from(root).map_err(|_| value::corrupt("thread root"))?;
        Ok((order_after(&key, prefix.len())?, root))
    };
    page.rows.into_iter().map(reply).collect()
}

/// Whether the user has replied in the thread.
pub fn participates(
    snapshot: &Snapshot,
    room: RoomNumber,
    root: &EventId,
    user: &UserId,
) -> Result<bool, StoreError> {
    Ok(snapshot.get(RELATION, &participant_key(room, root, user))?.is_some())
}

const CHILD: u8 = 1;
const BUNDLED: u8 = 2;
const COUNT: u8 = 3;
const THREADS: u8 = 4;
const PARTICIPANT: u8 = 5;
const REDACTION: u8 = 6;

fn children(room: RoomNumber, parent: &EventId, rel_type: &str) -> Bytes {
    let key = KeyWriter::new().u64(room.0).u8(CHILD);
    key.part(parent.as_str()).part(rel_type).finish()
}

fn redactions_prefix(room: RoomNumber, target: &EventId) -> Bytes {
    KeyWriter::new().u64(room.0).u8(REDACTION).part(target.as_str()).finish()
}

fn threads_prefix(room: RoomNumber) -> Bytes {
    KeyWriter::new().u64(room.0).u8(THREADS).finish()
}

fn bundled_key(room: RoomNumber, parent: &str) -> Bytes {
    KeyWriter::new().u64(room.0).u8(BUNDLED).rest(parent).finish()
}

fn count_key(room: RoomNumber, relation: &Relation) -> Bytes {
    let key = KeyWriter::new().u64(room.0).u8(COUNT);
    key.part(relation.parent.as_str()).rest(&relation.rel_type).finish()
}

fn participant_key(room: RoomNumber, root: &EventId, user: &UserId) -> Bytes {
    let key = KeyWriter::new().u64(room.0).u8(PARTICIPANT);
    key.part(root.as_str()).rest(user.as_str()).finish()
}

fn at(prefix: Bytes, order: Order) -> Bytes {
    KeyWriter::new().rest(prefix).rest(order.to_key()).finish()
}

fn put_at(batch: &mut Batch, prefix: Bytes, place: Place, value: Bytes) {
    match place {
        Place::Nowhere => {}
        Place::At(order) => batch.put(RELATION, at(prefix, order), value),
        Place::Live(index) => {
            let (side, index) = Order::live_key(index);
            let prefix = KeyWriter::new().rest(prefix).rest(side).finish();
            batch.put_at_version(RELATION, prefix, Bytes::copy_from_slice(&index), value);
        }
    }
}

fn order_after(key: &[u8], prefix_bytes: usize) -> Result<Order, StoreError> {
    let order = key.get(prefix_bytes..).map(KeyReader).and_then(Order::from_key);
    order.ok_or_else(|| value::corrupt("order of a relation"))
}

//! Unread counts: what a user's push rules make of the events that he has not read.
//!
//! They are counted when they are asked for, from where they were counted last, so that sending to
//! a room costs nothing per member. What was counted is kept in memory, and now and then in the
//! store. Rules are applied to the room as it is when the events are counted.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications>

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    sync::Arc,
};

use kv::{CommitError, Snapshot, StoreError};
use lru::LruCache;
use model::{EventNumber, RoomNumber};
use parking_lot::Mutex;
use ruma::{OwnedEventId, UserId};
use store::{
    events::{self, Order},
    log::Change,
    memberships,
    receipts::Thread,
    unread::{self, Checkpoint},
};

use crate::{
    Context,
    room_rows::{Event, RoomRows},
    threads,
};
use basis::{Basis, name};
use evaluate::Evaluator;
pub use evaluate::Verdict;

mod basis;
mod evaluate;
mod notifications;
#[cfg(test)]
mod tests;

pub use notifications::{Notification, Notifications, Wanted};
pub use store::{events::Order as Place, unread::Count};

/// What a user has not read in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Outside of threads.
    pub main: Count,
    /// In threads, by their roots; threads without unread events are not in here.
    pub threads: BTreeMap<OwnedEventId, Count>,
}

impl Counts {
    /// Threads or not: what a client sees that does not know of threads.
    pub fn total(&self) -> Count {
        self.threads.values().fold(self.main, |sum, thread| Count {
            notifications: sum.notifications + thread.notifications,
            highlights: sum.highlights + thread.highlights,
        })
    }
}

/// Counts of one homeserver's users. Cheap to clone.
#[derive(Clone)]
pub struct Unread(Arc<Inner>);

struct Inner {
    context: Context,
    evaluator: Evaluator,
    counted: Mutex<LruCache<(String, RoomNumber), Arc<Checkpoint>>>,
    /// Counts that took long enough to be kept in the store with the next [`Unread::persist`].
    costly: Mutex<HashMap<(String, RoomNumber), Arc<Checkpoint>>>,
}

/// Users in rooms whose counts are kept in memory.
const COUNTED_MAX: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();
/// Events that are looked at to count what a user has not read: older ones are as good as read.
const EVENTS_MAX: usize = 10_000;
/// Events that are read at once.
const EVENTS_AT_ONCE: usize = 200;
/// Events after which a count is worth a row.
const COSTLY_EVENTS: usize = 500;
/// Threads in a row.
const THREADS_MAX: usize = 500;
/// Rows of one commit.
const PERSISTED_MAX: usize = 200;

impl Unread {
    pub fn new(context: Context) -> Self {
        Self(Arc::new(Inner {
            evaluator: Evaluator::new(&context),
            context,
            counted: Mutex::new(LruCache::new(COUNTED_MAX)),
            costly: Mutex::default(),
        }))
    }

    /// What a local user has not read in a room that he is joined to, as the snapshot shows it.
    /// Reads the store: for threads that may wait for the disk.
    pub fn counts(
        &self,
        snapshot: &Snapshot,
        room: RoomNumber,
        user: &UserId,
    ) -> Result<Counts, StoreError> {
        let rows = RoomRows { snapshot, room, salt: self.0.context.state_salt };
        let Some(basis) = Basis::read(&self.0.evaluator, snapshot, room, user)? else {
            return Ok(Counts::default());
        };
        let key = (user.localpart().to_owned(), room);
        let remembered = self.remembered(snapshot, &key)?;
        let continued = remembered.as_ref().and_then(|counted| basis.carry_on(counted));
        let (counted, events) = match continued {
            Some(start) if start.until == basis.newest => (Some(start), 0),
            Some(start) => self.count(&rows, user, &basis, start, true)?,
            None => (None, 0),
        };
        let (counted, events) = match counted {
            Some(counted) => (counted, events),
            None => self.count_afresh(&rows, user, &basis)?,
        };
        let counts = told(&counted)?;
        if remembered.as_deref() != Some(&counted) {
            self.remember(key, counted, events);
        }
        Ok(counts)
    }

    /// Writes the counts that took long to the store. To be called now and then, and before the
    /// process ends; what is lost is counted again.
    pub async fn persist(&self) -> Result<(), CommitError> {
        loop {
            let mut batch = self.0.context.batch();
            {
                let mut costly = self.0.costly.lock();
                let some: Vec<_> = costly.keys().take(PERSISTED_MAX).cloned().collect();
                for key in some {
                    if let Some(counted) = costly.remove(&key) {
                        unread::put_checkpoint(&mut batch, &key.0, key.1, &counted);
                    }
                }
            }
            if batch.ops.is_empty() {
                return Ok(());
            }
            self.0.context.log.commit(batch, vec![Change::Nothing]).await?;
        }
    }

    fn remembered(
        &self,
        snapshot: &Snapshot,
        key: &(String, RoomNumber),
    ) -> Result<Option<Arc<Checkpoint>>, StoreError> {
        if let Some(counted) = self.0.counted.lock().get(key) {
            return Ok(Some(Arc::clone(counted)));
        }
        Ok(unread::checkpoint(snapshot, &key.0, key.1)?.map(Arc::new))
    }

    fn remember(&self, key: (String, RoomNumber), counted: Checkpoint, events: usize) {
        let counted = Arc::new(counted);
        if events >= COSTLY_EVENTS && counted.counts.len() <= THREADS_MAX {
            self.0.costly.lock().insert(key.clone(), Arc::clone(&counted));
        }
        let mut known = self.0.counted.lock();
        // Somebody else may have counted on a newer snapshot meanwhile.
        if known.peek(&key).is_none_or(|known| known.until <= counted.until) {
            known.put(key, counted);
        }
    }

    fn count_afresh(
        &self,
        rows: &RoomRows<'_>,
        user: &UserId,
        basis: &Basis,
    ) -> Result<(Checkpoint, usize), StoreError> {
        let joined = memberships::get(rows.snapshot, user.localpart(), rows.room)?;
        let joined = joined.map_or(0, |membership| membership.since);
        let joined = Order(i64::try_from(joined).unwrap_or(i64::MAX), 0);
        let read = basis.reads.get(name(&Thread::Unthreaded)).copied();
        let until = read.unwrap_or(joined).max(joined);
        let start = Checkpoint { until, ..basis.empty() };
        match self.count(rows, user, basis, start, false)? {
            (Some(counted), events) => Ok((counted, events)),
            (None, events) => Ok((basis.empty(), events)),
        }
    }

    /// Counts what comes after `start`; also says how many events that took. Nothing, if `start`
    /// turns out to be worth nothing because something in it was redacted since.
    fn count(
        &self,
        rows: &RoomRows<'_>,
        user: &UserId,
        basis: &Basis,
        start: Checkpoint,
        continued: bool,
    ) -> Result<(Option<Checkpoint>, usize), StoreError> {
        let numbers = newest_after(rows, start.until, basis.newest)?;
        if continued && numbers.len() >= EVENTS_MAX {
            return Ok((None, 0));
        }
        let mut counted = start;
        let mut room = None;
        for some in numbers.chunks(EVENTS_AT_ONCE) {
            let orders = some.iter().map(|(order, _)| *order);
            let some: Vec<EventNumber> = some.iter().map(|(_, number)| *number).collect();
            for (order, event) in orders.zip(rows.events(&some)?) {
                if continued && &*event.pdu.event_type == "m.room.redaction" {
                    return Ok((None, 0));
                }
                let thread = threads::of(rows, &event.pdu)?;
                if event.pdu.sender == user {
                    basis::read_by_writing(&mut counted, &thread, order);
                    continue;
                }
                if basis::is_read(&counted, &thread, order) || !is_news(&event, basis) {
                    continue;
                }
                let verdict =
                    self.0.evaluator.verdict(rows, user, &basis.rules, &event, &mut room)?;
                basis::add(&mut counted, &thread, verdict);
            }
        }
        counted.until = basis.newest;
        Ok((Some(counted), numbers.len()))
    }
}

/// Whether the event can be anything to the user at all.
fn is_news(event: &Event, basis: &Basis) -> bool {
    event.is_accepted()
        && event.record.redacted_by.is_none()
        && !basis.ignored.contains(event.pdu.sender.as_str())
}

/// The newest events with orders in `after + 1 ..= until`, oldest first.
fn newest_after(
    rows: &RoomRows<'_>,
    after: Order,
    until: Order,
) -> Result<Vec<(Order, EventNumber)>, StoreError> {
    let (from, mut to) = (following(after), following(until));
    let mut found = Vec::new();
    while found.len() < EVENTS_MAX {
        let limit = kv::PAGE_ROWS_MAX.min(EVENTS_MAX - found.len());
        let page = events::timeline(rows.snapshot, rows.room, (from, to), true, limit)?;
        let Some((oldest, _)) = page.last() else { break };
        to = *oldest;
        found.extend(page);
    }
    found.reverse();
    Ok(found)
}

/// The smallest order above this one.
fn following(order: Order) -> Order {
    match order.1.checked_add(1) {
        Some(index) => Order(order.0, index),
        None => Order(order.0.saturating_add(1), 0),
    }
}

fn told(counted: &Checkpoint) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    for (thread, count) in &counted.counts {
        match Thread::parse(thread) {
            Some(Thread::Root(root)) => {
                counts.threads.insert(root, *count);
            }
            Some(Thread::Main) => counts.main = *count,
            _ => return Err(store::value::corrupt("thread of an unread count")),
        }
    }
    Ok(counts)
}

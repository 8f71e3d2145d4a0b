//! What unread counts are counted from: receipts, rules, ignored users, and own events.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use kv::{Snapshot, StoreError};
use model::RoomNumber;
use ruma::UserId;
use serde::Deserialize;
use store::{
    account_data,
    events::{self, Order},
    receipts::{self, Thread},
    unread::{Checkpoint, Count},
};

use super::evaluate::{Evaluator, Rules, Verdict};

/// The type of account data that lists whom a user ignores.
const IGNORED: &str = "m.ignored_user_list";

pub(super) struct Basis {
    /// The newest event of the room.
    pub newest: Order,
    pub reads: BTreeMap<String, Order>,
    pub rules: Arc<Rules>,
    pub ignored: HashSet<String>,
    ignored_since: u64,
}

impl Basis {
    /// `None` if there is nothing to be read in the room.
    pub fn read(
        evaluator: &Evaluator,
        snapshot: &Snapshot,
        room: RoomNumber,
        user: &UserId,
    ) -> Result<Option<Self>, StoreError> {
        // Backfilled events, which are below zero, were never news.
        let newest = events::timeline(snapshot, room, (Order(0, 0), Order::MAX), true, 1)?;
        let Some((newest, _)) = newest.first().copied() else { return Ok(None) };
        let (ignored_since, ignored) = ignored(snapshot, user)?;
        Ok(Some(Self {
            newest,
            reads: reads(snapshot, room, user)?,
            rules: evaluator.rules(snapshot, user)?,
            ignored,
            ignored_since,
        }))
    }

    /// Nothing counted yet.
    pub fn empty(&self) -> Checkpoint {
        Checkpoint {
            until: self.newest,
            rules: self.rules.since,
            ignored: self.ignored_since,
            reads: self.reads.clone(),
            own: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// What of an earlier count still holds, as the start of a new one; `None` if it must be
    /// counted afresh.
    pub fn carry_on(&self, counted: &Checkpoint) -> Option<Checkpoint> {
        let same_rules = counted.rules == self.rules.since && counted.ignored == self.ignored_since;
        if !same_rules || counted.until > self.newest {
            return None;
        }
        if counted.reads == self.reads {
            return Some(counted.clone());
        }
        let now = Checkpoint { reads: self.reads.clone(), ..counted.clone() };
        let mut left = now.clone();
        for thread in counted.counts.keys() {
            let (before, read) = (read_until(counted, thread), read_until(&now, thread));
            if read >= Some(counted.until) {
                left.counts.remove(thread);
            } else if read != before {
                // Read up to somewhere in the middle.
                return None;
            }
        }
        // Where everything is read, one's own events say nothing more.
        let all = self.reads.get(name(&Thread::Unthreaded)).copied();
        left.own.retain(|_, own| Some(*own) > all);
        Some(left)
    }
}

/// How a thread is named in a checkpoint.
pub(super) fn name(thread: &Thread) -> &str {
    thread.as_str().unwrap_or("")
}

/// "When the user updates their read receipt (either by using the API or by sending an event),
/// notifications prior to and including that event MUST be marked as read."
pub(super) fn read_by_writing(counted: &mut Checkpoint, thread: &Thread, order: Order) {
    counted.own.insert(name(thread).to_owned(), order);
    counted.counts.remove(name(thread));
}

pub(super) fn is_read(counted: &Checkpoint, thread: &Thread, order: Order) -> bool {
    read_until(counted, name(thread)) >= Some(order)
}

pub(super) fn add(counted: &mut Checkpoint, thread: &Thread, verdict: Verdict) {
    if verdict == Verdict::default() {
        return;
    }
    let count: &mut Count = counted.counts.entry(name(thread).to_owned()).or_default();
    count.notifications += u64::from(verdict.notifies);
    count.highlights += u64::from(verdict.highlights);
}

/// The newest event of the thread that is read: by its receipt, by the one without thread, or
/// because the user wrote after it.
fn read_until(counted: &Checkpoint, thread: &str) -> Option<Order> {
    let places = [counted.reads.get(""), counted.reads.get(thread), counted.own.get(thread)];
    places.into_iter().flatten().max().copied()
}

/// Where the user's receipts stand, the later one of the public and the private for each thread.
/// "If both ... are present, the one that references the most recent event is used".
fn reads(
    snapshot: &Snapshot,
    room: RoomNumber,
    user: &UserId,
) -> Result<BTreeMap<String, Order>, StoreError> {
    let mut reads = BTreeMap::new();
    for receipt in receipts::of_user(snapshot, room, user)? {
        if let Some(order) = crate::receipts::order(snapshot, room, &receipt.event_id)? {
            let read = reads.entry(name(&receipt.owner.thread).to_owned()).or_insert(order);
            *read = order.max(*read);
        }
    }
    Ok(reads)
}

fn ignored(snapshot: &Snapshot, user: &UserId) -> Result<(u64, HashSet<String>), StoreError> {
    #[derive(Deserialize)]
    struct Content {
        ignored_users: BTreeMap<String, serde::de::IgnoredAny>,
    }
    let Some(item) = account_data::get(snapshot, user.localpart(), None, IGNORED)? else {
        return Ok((0, HashSet::new()));
    };
    // What a client wrote that is no list ignores nobody.
    let content = serde_json::from_slice::<Content>(&item.content);
    let users = content.map(|content| content.ignored_users.into_keys().collect());
    Ok((item.since, users.unwrap_or_default()))
}

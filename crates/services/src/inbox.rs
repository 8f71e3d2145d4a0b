//! Each user's inbox: which of his rooms changed after a position, and a bell that rings when one
//! does.
//!
//! Inboxes live in memory, for users who sync, and hold nothing that the store does not: one is made
//! when its user first asks, is complete from then on by following the log, is extended backwards
//! from the log when an older position is asked for, and is let go when its user is idle.
//! A lost wake-up is impossible if the waiter takes the bell *before* it reads the log's position,
//! and after each ring waits until the position that it rang for is published.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kv::{Snapshot, Store, StoreError};
use model::{RoomNumber, clock::Clock};
use parking_lot::Mutex;
use store::{
    log::{Change, LogEntry},
    memberships,
};
use tokio::sync::watch;

use crate::{
    Context,
    log::{Follower, Log},
};

#[cfg(test)]
mod tests;

/// The inboxes of one homeserver.
pub struct Inboxes {
    store: Store,
    log: Arc<Log>,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
}

/// What changed for a user after a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    Some {
        /// The rooms, each once, in no order.
        rooms: Vec<RoomNumber>,
        /// Whether something outside of rooms changed: account data, devices, keys, messages to
        /// devices.
        outside: bool,
    },
    /// Too much has happened since: any of his rooms may have changed.
    Any,
}

#[derive(Default)]
struct Held {
    /// The newest position that this was told of.
    position: u64,
    users: HashMap<Arc<str>, Inbox>,
    /// Whose inboxes take what happens in a room. May name users who have left it.
    rooms: HashMap<RoomNumber, Vec<Arc<str>>>,
    swept_ms: u64,
}

struct Inbox {
    /// The user's localpart.
    name: Arc<str>,
    /// Complete for everything after this position; `None` until the user's rooms were loaded.
    complete_after: Option<u64>,
    /// (position, room), by position. Older mentions of a room are thrown away now and then.
    changes: Vec<(u64, RoomNumber)>,
    /// The rooms whose list this user is on.
    rooms: HashSet<RoomNumber>,
    /// Rings with the position.
    bell: watch::Sender<u64>,
    used_ms: u64,
}

/// Stands for everything outside of rooms: no room has this number.
const OUTSIDE: RoomNumber = RoomNumber(0);
/// How long an inbox is kept after its user was last seen.
const IDLE_MS_MAX: u64 = 10 * 60 * 1_000;
/// How often idle inboxes are looked for.
const SWEEP_MS: u64 = 60 * 1_000;
/// How many log entries are read to extend an inbox backwards.
const ENTRIES_MAX: usize = 10_000;
/// Changes kept besides two for each room.
const CHANGES_SPARE: usize = 64;

impl Inboxes {
    /// Follows the log from now on.
    pub fn open(context: &Context) -> Arc<Self> {
        let inboxes = Arc::new(Self {
            store: context.store.clone(),
            log: Arc::clone(&context.log),
            clock: Arc::clone(&context.clock),
            held: Mutex::default(),
        });
        let position = context.log.follow(Arc::clone(&inboxes) as Arc<dyn Follower>);
        let mut held = inboxes.held.lock();
        held.position = held.position.max(position);
        drop(held);
        inboxes
    }

    /// A bell that rings, with the position, whenever something may have changed for the user.
    pub fn bell(&self, localpart: &str) -> watch::Receiver<u64> {
        let now_ms = self.clock.now_ms();
        let mut held = self.held.lock();
        held.sweep(now_ms);
        let position = held.position;
        let name: Arc<str> = Arc::from(localpart);
        let inbox = held.users.entry(Arc::clone(&name)).or_insert_with(|| Inbox {
            name,
            complete_after: None,
            changes: Vec::new(),
            rooms: HashSet::new(),
            bell: watch::Sender::new(position),
            used_ms: now_ms,
        });
        inbox.used_ms = now_ms;
        inbox.bell.subscribe()
    }

    /// What changed for the user after `position`. Reads the store only if the user's inbox does
    /// not reach back that far. To be called where one may wait for the disk, while holding the
    /// user's [`bell`](Self::bell), so that the inbox stays.
    pub fn changes(&self, localpart: &str, position: u64) -> Result<Changes, StoreError> {
        if let Some(changes) = self.known(localpart, position) {
            return Ok(changes);
        }
        self.load(localpart)?;
        match self.known(localpart, position) {
            Some(changes) => Ok(changes),
            None => self.extend(localpart, position),
        }
    }

    /// Like [`changes`](Self::changes), from memory alone.
    pub fn known(&self, localpart: &str, position: u64) -> Option<Changes> {
        let held = self.held.lock();
        let inbox = held.users.get(localpart)?;
        (inbox.complete_after? <= position).then(|| inbox.after(position))
    }

    /// Whether the user's inbox takes what happens in any of these rooms.
    pub fn follows_any(&self, localpart: &str, rooms: &[RoomNumber]) -> bool {
        let held = self.held.lock();
        let inbox = held.users.get(localpart);
        inbox.is_some_and(|inbox| rooms.iter().any(|room| inbox.rooms.contains(room)))
    }

    /// How many users have an inbox at present.
    pub fn held(&self) -> usize {
        self.held.lock().users.len()
    }

    /// Puts the user on the lists of his rooms.
    fn load(&self, localpart: &str) -> Result<(), StoreError> {
        // Memberships that change after this snapshot put him on the lists themselves.
        let memberships = memberships::of_user(&self.store.snapshot(), localpart)?;
        let mut held = self.held.lock();
        let Held { position, users, rooms, .. } = &mut *held;
        let Some(inbox) = users.get_mut(localpart) else { return Ok(()) };
        if inbox.complete_after.is_some() {
            return Ok(());
        }
        // What was taken so far is not complete, nor in order with what is read from the log.
        inbox.changes.clear();
        inbox.complete_after = Some(*position);
        // Nobody rang for what happened in his rooms since the bell was taken.
        if *inbox.bell.borrow() < *position {
            inbox.bell.send_replace(*position);
        }
        for (room, membership) in memberships {
            if membership.kind == memberships::Kind::Join && inbox.rooms.insert(room) {
                rooms.entry(room).or_default().push(Arc::clone(&inbox.name));
            }
        }
        Ok(())
    }

    /// Reads what changed for the user after `position` from the log, and keeps it.
    fn extend(&self, localpart: &str, position: u64) -> Result<Changes, StoreError> {
        let complete_after = {
            let held = self.held.lock();
            held.users.get(localpart).and_then(|inbox| inbox.complete_after)
        };
        let Some(complete_after) = complete_after else { return Ok(Changes::Any) };
        if complete_after.saturating_sub(position) > ENTRIES_MAX as u64 {
            return Ok(Changes::Any);
        }
        let snapshot = self.store.snapshot();
        let rooms = memberships::of_user(&snapshot, localpart)?;
        let rooms: HashSet<RoomNumber> = rooms.into_iter().map(|(room, _)| room).collect();
        let mut earlier = Vec::new();
        for (at, entry) in entries(&snapshot, position, complete_after)? {
            for change in &entry {
                let room = concerns(change, localpart, &rooms);
                earlier.extend(room.map(|room| (at, room)));
            }
        }
        let mut held = self.held.lock();
        let Some(inbox) = held.users.get_mut(localpart) else { return Ok(Changes::Any) };
        // Another sync of the user may have extended it meanwhile, but not as far.
        let from = inbox.complete_after.unwrap_or(complete_after);
        earlier.retain(|(at, _)| *at <= from);
        earlier.append(&mut inbox.changes);
        inbox.changes = earlier;
        inbox.complete_after = Some(from.min(position));
        inbox.compact();
        Ok(inbox.after(position))
    }

    /// Waits until the log has published `position`, which a bell rang with.
    pub async fn published(&self, position: u64) {
        // The log lives as long as its homeserver: the other end is not dropped before.
        let _ = self.log.watch().wait_for(|published| *published >= position).await;
    }
}

/// The log's entries in `(after, up_to]`.
fn entries(
    snapshot: &Snapshot,
    mut after: u64,
    up_to: u64,
) -> Result<Vec<(u64, LogEntry)>, StoreError> {
    let mut entries = Vec::new();
    while after < up_to {
        let page = store::log::after(snapshot, after)?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        entries.extend(page);
    }
    entries.retain(|(position, _)| *position <= up_to);
    Ok(entries)
}

/// The room (or [`OUTSIDE`]) in which the change concerns the user, who has to do with `rooms`.
fn concerns(change: &Change, localpart: &str, rooms: &HashSet<RoomNumber>) -> Option<RoomNumber> {
    match change {
        Change::Events { room, .. } | Change::RoomState { room } | Change::Receipt { room, .. } => {
            rooms.get(room).copied()
        }
        Change::Membership { user, room } => (user == localpart).then_some(*room),
        Change::AccountData { user, room } => (user == localpart).then(|| room.unwrap_or(OUTSIDE)),
        Change::ToDevice { user, .. } | Change::Account { user } => {
            (user == localpart).then_some(OUTSIDE)
        }
        // Whether he shares a room with that user is asked when he syncs.
        Change::DeviceList { .. } => Some(OUTSIDE),
        Change::Outbound { .. }
        | Change::Profile { .. }
        | Change::Nothing
        | Change::EventAltered { .. } => None,
    }
}

impl Follower for Inboxes {
    fn changed(&self, position: u64, entry: &[Change]) {
        let mut held = self.held.lock();
        held.position = position;
        for change in entry {
            held.take(position, change);
        }
    }
}

impl Held {
    fn take(&mut self, position: u64, change: &Change) {
        match change {
            Change::Events { room, .. }
            | Change::RoomState { room }
            | Change::Receipt { room, .. } => {
                for user in self.rooms.get(room).into_iter().flatten() {
                    if let Some(inbox) = self.users.get_mut(user) {
                        inbox.take(position, *room);
                    }
                }
            }
            Change::Membership { user, room } => self.membership(position, user, *room),
            Change::AccountData { user, room } => {
                self.take_for(position, user, room.unwrap_or(OUTSIDE));
            }
            Change::ToDevice { user, .. } | Change::Account { user } => {
                self.take_for(position, user, OUTSIDE);
            }
            Change::DeviceList { .. } => {
                for inbox in self.users.values_mut() {
                    inbox.take(position, OUTSIDE);
                }
            }
            Change::Outbound { .. }
            | Change::Profile { .. }
            | Change::Nothing
            | Change::EventAltered { .. } => {}
        }
    }

    fn take_for(&mut self, position: u64, user: &str, room: RoomNumber) {
        if let Some(inbox) = self.users.get_mut(user) {
            inbox.take(position, room);
        }
    }

    /// The user joined or left. He is put on the room's list in either case, because the log does
    /// not say which; being told of a room that one is not in is harmless.
    fn membership(&mut self, position: u64, user: &str, room: RoomNumber) {
        if let Some(inbox) = self.users.get_mut(user) {
            if inbox.rooms.insert(room) {
                self.rooms.entry(room).or_default().push(Arc::clone(&inbox.name));
            }
            inbox.take(position, room);
        }
    }

    /// Lets go of the inboxes that nobody waits at and nobody has asked for a while.
    fn sweep(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.swept_ms) < SWEEP_MS {
            return;
        }
        self.swept_ms = now_ms;
        let idle = |inbox: &Inbox| {
            inbox.bell.receiver_count() == 0 && now_ms.saturating_sub(inbox.used_ms) > IDLE_MS_MAX
        };
        let Self { users, rooms, .. } = self;
        let gone: HashMap<Arc<str>, Inbox> = users.extract_if(|_, inbox| idle(inbox)).collect();
        let touched: HashSet<RoomNumber> =
            gone.values().flat_map(|inbox| inbox.rooms.iter().copied()).collect();
        for room in touched {
            let Some(list) = rooms.get_mut(&room) else { continue };
            list.retain(|user| !gone.contains_key(user));
            if list.is_empty() {
                rooms.remove(&room);
            }
        }
    }
}

impl Inbox {
    fn take(&mut self, position: u64, room: RoomNumber) {
        if self.changes.last() != Some(&(position, room)) {
            self.changes.push((position, room));
        }
        if self.changes.len() > 2 * self.rooms.len() + CHANGES_SPARE {
            self.compact();
        }
        self.bell.send_replace(position);
    }

    fn after(&self, position: u64) -> Changes {
        let start = self.changes.partition_point(|(at, _)| *at <= position);
        let mut rooms: HashSet<RoomNumber> =
            self.changes[start..].iter().map(|(_, room)| *room).collect();
        let outside = rooms.remove(&OUTSIDE);
        Changes::Some { rooms: rooms.into_iter().collect(), outside }
    }

    /// Keeps the newest mention of each room: an older one says nothing that it does not.
    fn compact(&mut self) {
        let mut seen = HashSet::new();
        let mut newest: Vec<(u64, RoomNumber)> =
            self.changes.iter().rev().filter(|(_, room)| seen.insert(*room)).copied().collect();
        newest.reverse();
        self.changes = newest;
    }
}

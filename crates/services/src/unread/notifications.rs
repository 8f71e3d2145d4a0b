//! The list of events that a user was notified of, newest first: his rooms' timelines, merged, as
//! his push rules see them now.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#listing-notifications>

use std::collections::{BinaryHeap, VecDeque};

use kv::{Snapshot, StoreError};
use model::{EventNumber, RoomNumber};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    push::{Action, PushConditionRoomCtx},
};
use serde_json::value::RawValue;
use store::{
    events::{self, Order},
    memberships::{self, Kind},
    rooms,
    value::corrupt,
};

use super::{
    Unread,
    basis::{self, Basis},
    is_news,
};
use crate::{
    client_event::{ClientEvent, EventFormat},
    room_rows::RoomRows,
    threads,
};

/// One event that the user was notified of.
#[derive(Debug)]
pub struct Notification {
    pub room_id: OwnedRoomId,
    /// The event, with the fields that clients are shown but the room.
    pub event: Box<RawValue>,
    pub actions: Vec<Action>,
    pub read: bool,
    pub ts_ms: u64,
}

/// A page of them.
#[derive(Debug, Default)]
pub struct Notifications {
    pub list: Vec<Notification>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Order>,
}

/// What to list.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Only what is older than this.
    pub before: Option<Order>,
    pub limit: usize,
    pub only_highlights: bool,
}

/// Events that are looked at for one page, which may so be shorter than wanted.
const EVENTS_MAX: usize = 2_000;
/// Events of one room that are found at once.
const PAGE_EVENTS: usize = 20;

impl Unread {
    pub async fn notifications(
        &self,
        user: OwnedUserId,
        wanted: Wanted,
    ) -> Result<Notifications, StoreError> {
        let unread = self.clone();
        let store = &self.0.context.store;
        store.read(move |rows| unread.list(rows, &user, wanted)).await
    }

    fn list(
        &self,
        snapshot: &Snapshot,
        user: &UserId,
        wanted: Wanted,
    ) -> Result<Notifications, StoreError> {
        let mut walk = self.walk(snapshot, user, wanted.before.unwrap_or(Order::MAX))?;
        let mut found = Notifications::default();
        for _ in 0..EVENTS_MAX {
            let Some((order, room, number)) = walk.next(snapshot)? else {
                return Ok(Notifications { next: None, ..found });
            };
            let notification = self.notification(snapshot, user, room, (order, number), wanted)?;
            found.list.extend(notification);
            found.next = Some(order);
            if found.list.len() >= wanted.limit {
                break;
            }
        }
        Ok(found)
    }

    fn walk(&self, snapshot: &Snapshot, user: &UserId, before: Order) -> Result<Walk, StoreError> {
        let mut walk = Walk { rooms: Vec::new(), heads: BinaryHeap::new() };
        for (room, membership) in memberships::of_user(snapshot, user.localpart())? {
            if membership.kind != Kind::Join {
                continue;
            }
            let basis = Basis::read(&self.0.evaluator, snapshot, room, user)?;
            let (Some(basis), Some(head)) = (basis, rooms::head(snapshot, room)?) else { continue };
            let id = RoomId::parse(&head.room_id).map_err(|_| corrupt("room id"))?.to_owned();
            let from = Order(i64::try_from(membership.since).unwrap_or(i64::MAX), 0);
            let found = VecDeque::new();
            let (facts, to) = (None, before);
            walk.rooms.push(RoomWalk { room, id, basis, facts, from, to, found });
            walk.refill(snapshot, walk.rooms.len() - 1)?;
        }
        Ok(walk)
    }

    fn notification(
        &self,
        snapshot: &Snapshot,
        user: &UserId,
        room: &mut RoomWalk,
        (order, number): (Order, EventNumber),
        wanted: Wanted,
    ) -> Result<Option<Notification>, StoreError> {
        let rows = RoomRows { snapshot, room: room.room, salt: self.0.context.state_salt };
        let Some(event) = rows.event(number)? else { return Ok(None) };
        if event.pdu.sender == user || !is_news(&event, &room.basis) {
            return Ok(None);
        }
        let rules = &room.basis.rules;
        let rule = self.0.evaluator.rule(&rows, user, rules, &event, &mut room.facts)?;
        let notifies = |rule: &ruma::push::AnyPushRuleRef<'_>| {
            rule.triggers_notification() && (rule.triggers_highlight() || !wanted.only_highlights)
        };
        let Some(rule) = rule.filter(notifies) else { return Ok(None) };
        let Some(stored) = events::get(snapshot, room.room, number)? else { return Ok(None) };
        let thread = threads::of(&rows, &event.pdu)?;
        let stored = ClientEvent::from(stored);
        Ok(Some(Notification {
            room_id: room.id.clone(),
            event: stored.to_json(&room.id, EventFormat::Sync, None)?,
            actions: rule.actions().to_vec(),
            read: basis::is_read(&room.basis.empty(), &thread, order),
            ts_ms: event.pdu.origin_server_ts,
        }))
    }
}

/// Several timelines, walked backwards as one.
struct Walk {
    rooms: Vec<RoomWalk>,
    /// The next event of each room that has one, with the room's place in `rooms`.
    heads: BinaryHeap<(Order, usize)>,
}

struct RoomWalk {
    room: RoomNumber,
    id: OwnedRoomId,
    basis: Basis,
    /// What conditions ask of the room, once it was asked.
    facts: Option<PushConditionRoomCtx>,
    from: Order,
    to: Order,
    /// Newest first.
    found: VecDeque<(Order, EventNumber)>,
}

impl Walk {
    fn next(
        &mut self,
        snapshot: &Snapshot,
    ) -> Result<Option<(Order, &mut RoomWalk, EventNumber)>, StoreError> {
        let Some((_, index)) = self.heads.pop() else { return Ok(None) };
        let Some((order, number)) = self.rooms[index].found.pop_front() else { return Ok(None) };
        self.refill(snapshot, index)?;
        Ok(Some((order, &mut self.rooms[index], number)))
    }

    /// Finds more events of the room if there is none left, and puts its next one in line.
    fn refill(&mut self, snapshot: &Snapshot, index: usize) -> Result<(), StoreError> {
        let room = &mut self.rooms[index];
        if room.found.is_empty() {
            let range = (room.from, room.to);
            room.found = events::timeline(snapshot, room.room, range, true, PAGE_EVENTS)?.into();
            if let Some((oldest, _)) = room.found.back() {
                room.to = *oldest;
            }
        }
        self.heads.extend(room.found.front().map(|(order, _)| (*order, index)));
        Ok(())
    }
}

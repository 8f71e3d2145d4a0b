//! The one oracle for "may this user see this event?". Every read path asks it; the rules are
//! `model::visibility`.
//!
//! Invariant: whatever is not positively visible is hidden. Rejected, soft-failed and outlying
//! events are never visible, whoever asks.
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility>.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
};

use kv::StoreError;
use model::{
    EventNumber,
    membership::Membership,
    state_tree::NodeId,
    visibility::{HistoryVisibility, Moment, View},
};
use ruma::UserId;
use store::{
    events::{EventRecord, Order, Place, Standing, StoredEvent},
    memberships::{self, Kind},
    room_states,
};

use crate::room_rows::{Event, RoomRows};

#[cfg(test)]
mod tests;

/// One local user's view of one room, in one snapshot. Moments are looked up once per state of the room,
/// so that a page of messages costs one look-up.
pub struct Oracle<'a> {
    rows: RoomRows<'a>,
    user: &'a UserId,
    moments: RefCell<HashMap<NodeId, Moment>>,
    /// The one that was asked for last: most events leave the state as it is.
    last: Cell<Option<(NodeId, Moment)>>,
    visibilities: RefCell<HashMap<EventNumber, HistoryVisibility>>,
    row: OnceCell<Option<memberships::Membership>>,
    joined_until: OnceCell<Option<Order>>,
}

/// How many of a user's own membership changes are followed back to find his last join.
const CHANGES_MAX: usize = 32;

impl<'a> Oracle<'a> {
    pub fn new(rows: RoomRows<'a>, user: &'a UserId) -> Self {
        Self {
            rows,
            user,
            moments: RefCell::default(),
            last: Cell::new(None),
            visibilities: RefCell::default(),
            row: OnceCell::new(),
            joined_until: OnceCell::new(),
        }
    }

    /// The user's present relation to the room.
    pub fn membership(&self) -> Result<Option<&memberships::Membership>, StoreError> {
        if self.row.get().is_none() {
            let row = memberships::get(self.rows.snapshot, self.user.localpart(), self.rows.room)?;
            let _ = self.row.set(row);
        }
        Ok(self.row.get().and_then(Option::as_ref))
    }

    pub fn is_joined(&self) -> Result<bool, StoreError> {
        Ok(self.membership()?.is_some_and(|membership| membership.kind == Kind::Join))
    }

    /// May the user see the event?
    pub fn sees(&self, event: &StoredEvent) -> Result<bool, StoreError> {
        let EventRecord { standing, state_before, state_after, .. } = &event.record;
        let (Standing::Accepted, Some(before), Some(order)) =
            (standing, state_before, event.order())
        else {
            return Ok(false);
        };
        let before = self.moment(before)?;
        if View::unchanged(before, false).is_allowed() {
            return Ok(true);
        }
        let after = match state_after {
            Some(after) => self.moment(after)?,
            None => before,
        };
        // Who is invited, thrown out or declines is told so, whatever else he may see.
        if before.membership != after.membership {
            return Ok(true);
        }
        let joined_later = self.joined_until()?.is_some_and(|until| order < until);
        Ok(View { before, after, joined_later }.is_allowed())
    }

    /// The user's membership just after the event.
    pub fn membership_at(&self, event: &StoredEvent) -> Result<Option<Membership>, StoreError> {
        match &event.record.state_after {
            Some(root) => Ok(Some(self.moment(root)?.membership)),
            None => Ok(None),
        }
    }

    /// What a state of the room says about the user.
    pub fn moment(&self, root: &NodeId) -> Result<Moment, StoreError> {
        if let Some((_, moment)) = self.last.get().filter(|(last, _)| last == root) {
            return Ok(moment);
        }
        if let Some(moment) = self.moments.borrow().get(root) {
            self.last.set(Some((*root, *moment)));
            return Ok(*moment);
        }
        let state = self.rows.state(*root);
        let visibility = match state.entry("m.room.history_visibility", "")? {
            Some(entry) => self.visibility(entry.event)?,
            None => HistoryVisibility::default(),
        };
        let member = state.entry("m.room.member", self.user.as_str())?;
        let membership = member.and_then(|member| member.membership);
        let membership = membership.unwrap_or(Membership::Leave);
        let moment = Moment { visibility, membership };
        self.moments.borrow_mut().insert(*root, moment);
        Ok(moment)
    }

    fn visibility(&self, number: EventNumber) -> Result<HistoryVisibility, StoreError> {
        if let Some(visibility) = self.visibilities.borrow().get(&number) {
            return Ok(*visibility);
        }
        let event = self.rows.event(number)?;
        let visibility = HistoryVisibility::of(event.as_ref().map(|event| &*event.pdu));
        self.visibilities.borrow_mut().insert(number, visibility);
        Ok(visibility)
    }

    /// Until where in the timeline the user was joined the last time; `None` if he never was.
    pub fn joined_until(&self) -> Result<Option<Order>, StoreError> {
        if let Some(until) = self.joined_until.get() {
            return Ok(*until);
        }
        let until = match self.is_joined()? {
            true => Some(Order::MAX),
            false => self.last_leave()?.and_then(|leave| match leave.record.place {
                Place::At(order) => Some(order),
                Place::Nowhere | Place::Live(_) => None,
            }),
        };
        let _ = self.joined_until.set(until);
        Ok(until)
    }

    /// The event that ended the user's last join, if he is not joined now.
    pub fn last_leave(&self) -> Result<Option<Event>, StoreError> {
        let mut number = self.membership()?.and_then(|membership| membership.event);
        for _ in 0..CHANGES_MAX {
            let Some(event) = number.map(|number| self.rows.event(number)).transpose()?.flatten()
            else {
                return Ok(None);
            };
            let Some(before) = self.room_before(&event)? else { return Ok(None) };
            let previous = self.rows.state(before).entry("m.room.member", self.user.as_str())?;
            if self.moment(&before)?.membership == Membership::Join {
                return Ok(Some(event));
            }
            number = previous.map(|entry| entry.event);
        }
        Ok(None)
    }

    /// The room's state just before an event came into the timeline. Where the room was forked, that
    /// is not the state that the event stands on: a ban that comes after the user has left was
    /// sent when he was still there, and must not lengthen his stay.
    fn room_before(&self, event: &Event) -> Result<Option<NodeId>, StoreError> {
        let Place::At(Order(position, _)) = event.record.place else {
            return Ok(event.record.state_before);
        };
        let position = u64::try_from(position).ok().and_then(|position| position.checked_sub(1));
        let Some(position) = position else { return Ok(event.record.state_before) };
        let root = room_states::at(self.rows.snapshot, self.rows.room, position)?;
        Ok(root.or(event.record.state_before))
    }

    /// Whether the user may read the room's history at all: he is or was in it (and has not
    /// forgotten it), or everybody may.
    pub fn may_read_room(&self, root: &NodeId) -> Result<bool, StoreError> {
        let membership = self.membership()?;
        if membership.is_some_and(|membership| membership.kind == Kind::Join) {
            return Ok(true);
        }
        let forgotten = membership.is_some_and(|membership| membership.forgotten);
        if !forgotten && self.joined_until()?.is_some() {
            return Ok(true);
        }
        Ok(self.moment(root)?.visibility == HistoryVisibility::WorldReadable)
    }
}

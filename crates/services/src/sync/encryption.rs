//! What an answer has for end-to-end encryption: messages to the device, whose keys changed, and how
//! many keys the device has left.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#e2e-extensions-to-sync>.

use std::{cell::RefCell, collections::BTreeSet};

use kv::StoreError;
use model::{
    RoomNumber,
    membership::Membership,
    state_tree::{NodeId, StateTree},
};
use ruma::{OwnedUserId, UserId};
use store::{
    device_keys,
    memberships::{self, Kind},
    to_device,
};

use super::{
    answer::{DeviceLists, Events, SyncAnswer},
    gather::Gather,
};
use crate::{reader::RoomView, room_rows::RoomRows, state_reads::member_entries};

/// Messages to a device in one answer.
const MESSAGES_MAX: usize = 100;

/// Whom the user began or ceased to share a room with, as far as the answer's rooms show.
///
/// The specification speaks of encrypted rooms, but a room may become encrypted at any time, and
/// its members' keys must be known to be current then.
#[derive(Default)]
pub(super) struct Company {
    joined: RefCell<BTreeSet<String>>,
    left: RefCell<BTreeSet<String>>,
}

impl Company {
    /// In a room that the user is joined to, the state went from one root to another; `known` is
    /// empty if the user is new there.
    pub fn note(&self, room: &RoomView<'_>, known: NodeId, now: NodeId) -> Result<(), StoreError> {
        let tree = StateTree::new(room.rows.salt);
        for change in tree.diff(&room.rows, known, now)? {
            if change.event_type != "m.room.member" {
                continue;
            }
            let joined = |entry: Option<model::state_tree::Entry>| {
                entry.and_then(|entry| entry.membership) == Some(Membership::Join)
            };
            match (joined(change.before), joined(change.after)) {
                (false, true) => self.joined.borrow_mut().insert(change.state_key),
                (true, false) => self.left.borrow_mut().insert(change.state_key),
                _ => continue,
            };
        }
        Ok(())
    }

    /// Those whom the user began to share a room with.
    pub fn joined(&self) -> BTreeSet<String> {
        self.joined.borrow().clone()
    }

    /// The user left a room in which he was with these others.
    pub fn note_left(&self, room: &RoomView<'_>, root: NodeId) -> Result<(), StoreError> {
        let members = member_entries(room, root)?.into_iter();
        let joined = members.filter(|(_, entry)| entry.membership == Some(Membership::Join));
        self.left.borrow_mut().extend(joined.map(|(user, _)| user));
        Ok(())
    }
}

impl Gather<'_> {
    /// Fills in what is for the device, which has received its messages up to a position. Answers up
    /// to which position they are in the answer.
    pub(super) fn for_device(
        &self,
        answer: &mut SyncAnswer,
        company: &Company,
        received: u64,
    ) -> Result<u64, StoreError> {
        answer.device_lists = self.device_lists(company)?;
        let Some(device) = self.reader.device.as_deref() else { return Ok(self.until) };
        let (localpart, device) = (self.reader.user.localpart(), device.as_str());
        let owner = (localpart, device);
        let mut messages =
            to_device::pending(self.rows, owner, (received, self.until), MESSAGES_MAX)?;
        let mut told_up_to = self.until;
        if messages.len() == MESSAGES_MAX
            && let Some((to_device::Place(last, _), _)) = messages.last()
        {
            // There may be more: the rest, and what one commit may have put apart, comes later.
            let last = *last;
            let whole = messages.iter().filter(|(place, _)| place.0 < last).count();
            if whole > 0 {
                messages.truncate(whole);
                told_up_to = last - 1;
            } else {
                told_up_to = last;
                messages = to_device::pending(self.rows, owner, (received, last), usize::MAX)?;
            }
        }
        let events = messages.iter().filter_map(|(_, json)| serde_json::from_slice(json).ok());
        answer.to_device = Events { events: events.collect() };
        answer.device_one_time_keys_count =
            device_keys::one_time_key_counts(self.rows, localpart, device)?;
        // Clients upload keys only if they are told that there are none.
        answer.device_one_time_keys_count.entry("signed_curve25519".to_owned()).or_default();
        let unused = device_keys::fallback_keys(self.rows, localpart, device)?.into_iter();
        let unused = unused.filter(|(_, key)| !key.used).map(|(algorithm, _)| algorithm);
        answer.device_unused_fallback_key_types = unused.collect();
        Ok(told_up_to)
    }

    fn device_lists(&self, company: &Company) -> Result<DeviceLists, StoreError> {
        let Some(since) = self.since() else { return Ok(DeviceLists::default()) };
        let mut lists = DeviceLists::default();
        let mut changed = company.joined.borrow().clone();
        for (_, user) in device_keys::changed(self.rows, (since, self.until))? {
            if !changed.contains(&user) && self.knows(&user)? {
                changed.insert(user);
            }
        }
        lists.changed = user_ids(&changed);
        for user in user_ids(&company.left.borrow()) {
            if user != self.reader.user && !self.knows(user.as_str())? {
                lists.left.push(user);
            }
        }
        lists.changed.retain(|user| !lists.left.contains(user));
        Ok(lists)
    }

    /// Whether the reader is this user, or shares a room with him.
    pub(super) fn knows(&self, user: &str) -> Result<bool, StoreError> {
        let Ok(user) = <&UserId>::try_from(user) else { return Ok(false) };
        if *user == self.reader.user {
            return Ok(true);
        }
        for room in self.rooms_of(user)? {
            let mine = memberships::get(self.rows, self.reader.user.localpart(), room)?;
            if !mine.is_some_and(|mine| mine.kind == Kind::Join) {
                continue;
            }
            let Some(head) = store::rooms::head(self.rows, room)? else { continue };
            let salt = self.syncs().context.state_salt;
            let rows = RoomRows { snapshot: self.rows, room, salt };
            let member = rows.state(head.state).entry("m.room.member", user.as_str())?;
            let joined = member.and_then(|member| member.membership) == Some(Membership::Join);
            if joined {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The rooms in which the user may be.
    fn rooms_of(&self, user: &UserId) -> Result<Vec<RoomNumber>, StoreError> {
        if !self.syncs().context.is_local(user) {
            return memberships::rooms_of_server(self.rows, user.server_name().as_str());
        }
        let rooms = memberships::of_user(self.rows, user.localpart())?.into_iter();
        let joined = rooms.filter(|(_, membership)| membership.kind == Kind::Join);
        Ok(joined.map(|(room, _)| room).collect())
    }
}

fn user_ids(users: &BTreeSet<String>) -> Vec<OwnedUserId> {
    users.iter().filter_map(|user| user.as_str().try_into().ok()).collect()
}

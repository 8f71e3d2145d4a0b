//! Who is typing. Kept in memory only: whoever typed before a restart has stopped.
//!
//! Each change of a room takes a serial number, greater than all before; a sync that remembers the
//! greatest one that it told finds the rooms that changed since. Serial numbers start at the time
//! of the start in milliseconds, so they are greater than those of the process before.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#typing-notifications>

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kv::{Snapshot, StoreError};
use model::RoomNumber;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId};
use store::rooms;
use tokio::sync::{broadcast, watch};

use crate::{
    Context,
    receipts::{self, ReceiptError},
    room_rows::RoomRows,
};

#[cfg(test)]
mod tests;

/// Longest time that one notice keeps a user typing.
pub const TYPING_TIME_MS_MAX: u64 = 2 * 60 * 1000;
/// How long a user of another server types: servers do not say, and repeat it before this is over.
const REMOTE_TYPING_TIME_MS: u64 = 30 * 1000;
/// Changes that wait for the federation sender; a change that is lost is only a missed notice.
const OUTBOUND_MAX: usize = 256;
/// Users of one room who type at the same time.
const TYPISTS_MAX: usize = 1_000;

/// A local user began or stopped typing: other servers in the room are to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypingChange {
    pub room_id: OwnedRoomId,
    pub room: RoomNumber,
    pub user: OwnedUserId,
    pub typing: bool,
}

/// Who is typing in the rooms of one homeserver. Cheap to clone.
#[derive(Clone)]
pub struct Typing(Arc<Inner>);

struct Inner {
    context: Context,
    rooms: Mutex<Rooms>,
    /// The newest serial number.
    serial: watch::Sender<u64>,
    outbound: broadcast::Sender<TypingChange>,
}

#[derive(Default)]
struct Rooms {
    /// Also rooms in which nobody types any more, so that this can be told.
    rooms: HashMap<RoomNumber, Typists>,
    serial: u64,
    /// When the next user's time is over; also a time that is too early.
    next_ms: Option<u64>,
}

#[derive(Default)]
struct Typists {
    /// With the time until which each types.
    users: BTreeMap<OwnedUserId, u64>,
    /// Of the last change.
    serial: u64,
}

impl Typing {
    pub fn new(context: Context) -> Self {
        let serial = context.clock.now_ms();
        let rooms = Mutex::new(Rooms { serial, ..Rooms::default() });
        let (serial, outbound) = (watch::Sender::new(serial), broadcast::Sender::new(OUTBOUND_MAX));
        Self(Arc::new(Inner { context, rooms, serial, outbound }))
    }

    /// A local user types for so long, or (`None`) stopped typing.
    pub async fn set(
        &self,
        user: &UserId,
        room_id: &RoomId,
        timeout_ms: Option<u64>,
    ) -> Result<(), ReceiptError> {
        let (localpart, id) = (user.localpart().to_owned(), room_id.to_owned());
        let room = move |rows: &Snapshot| receipts::joined_room(rows, &localpart, &id);
        let room = self.0.context.store.read(room).await?;
        let timeout_ms = timeout_ms.map(|timeout_ms| timeout_ms.min(TYPING_TIME_MS_MAX));
        self.change(room, user, timeout_ms);
        let change = TypingChange {
            room_id: room_id.to_owned(),
            room,
            user: user.to_owned(),
            typing: timeout_ms.is_some(),
        };
        // Nobody listens where the federation is off.
        let _ = self.0.outbound.send(change);
        Ok(())
    }

    /// Another server tells that a user of its own types or stopped. Passed over if the user is not
    /// its own or not in the room.
    pub async fn set_remote(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        user: &UserId,
        typing: bool,
    ) -> Result<(), ReceiptError> {
        if user.server_name() != origin {
            return Ok(());
        }
        let (id, typist, salt) = (room_id.to_owned(), user.to_owned(), self.0.context.state_salt);
        let room = move |rows: &Snapshot| room_with(rows, &id, &typist, salt);
        if let Some(room) = self.0.context.store.read(room).await? {
            self.change(room, user, typing.then_some(REMOTE_TYPING_TIME_MS));
        }
        Ok(())
    }

    /// Who types in the room now, and the serial number of the last change there.
    pub fn in_room(&self, room: RoomNumber) -> (Vec<OwnedUserId>, u64) {
        self.expire();
        let rooms = self.0.rooms.lock();
        match rooms.rooms.get(&room) {
            Some(typists) => (typists.users.keys().cloned().collect(), typists.serial),
            None => (Vec::new(), 0),
        }
    }

    /// The rooms in which somebody began or stopped typing after the serial number.
    pub fn changed_since(&self, serial: u64) -> Vec<RoomNumber> {
        let rooms = self.0.rooms.lock();
        if rooms.serial <= serial {
            return Vec::new();
        }
        let changed = rooms.rooms.iter().filter(|(_, typists)| typists.serial > serial);
        changed.map(|(room, _)| *room).collect()
    }

    /// The newest serial number; what changes from now on has a greater one.
    pub fn serial(&self) -> u64 {
        *self.0.serial.borrow()
    }

    /// Changes with the serial number, to wake whoever waits.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.serial.subscribe()
    }

    /// Notices of local users, for the federation sender.
    pub fn outbound(&self) -> broadcast::Receiver<TypingChange> {
        self.0.outbound.subscribe()
    }

    /// Lets those stop typing whose time is over, and says when the next one's is (in milliseconds
    /// since the Unix epoch). To be called at that time, and whenever [`Self::watch`] changes.
    pub fn expire(&self) -> Option<u64> {
        let now_ms = self.0.context.clock.now_ms();
        let mut rooms = self.0.rooms.lock();
        if rooms.next_ms.is_none_or(|next_ms| now_ms < next_ms) {
            return rooms.next_ms;
        }
        let Rooms { rooms: typists, serial, next_ms } = &mut *rooms;
        let before = *serial;
        for typists in typists.values_mut() {
            let count = typists.users.len();
            typists.users.retain(|_, until_ms| *until_ms > now_ms);
            if typists.users.len() < count {
                *serial += 1;
                typists.serial = *serial;
            }
        }
        *next_ms = typists.values().flat_map(|typists| typists.users.values()).min().copied();
        if *serial > before {
            self.0.serial.send_replace(*serial);
        }
        *next_ms
    }

    fn change(&self, room: RoomNumber, user: &UserId, timeout_ms: Option<u64>) {
        let until_ms = timeout_ms.map(|timeout_ms| self.0.context.clock.now_ms() + timeout_ms);
        let mut rooms = self.0.rooms.lock();
        rooms.next_ms = rooms.next_ms.into_iter().chain(until_ms).min();
        let serial = rooms.serial + 1;
        let changed = match until_ms {
            Some(until_ms) => {
                let typists = rooms.rooms.entry(room).or_default();
                if typists.users.len() >= TYPISTS_MAX && !typists.users.contains_key(user) {
                    return;
                }
                // Typing on is no news.
                typists.users.insert(user.to_owned(), until_ms).is_none()
            }
            None => {
                rooms.rooms.get_mut(&room).is_some_and(|room| room.users.remove(user).is_some())
            }
        };
        if !changed {
            return;
        }
        rooms.serial = serial;
        if let Some(typists) = rooms.rooms.get_mut(&room) {
            typists.serial = serial;
        }
        // While locked, so that numbers are told in order.
        self.0.serial.send_replace(serial);
    }
}

/// The room's number, if any user is joined to it.
fn room_with(
    snapshot: &Snapshot,
    room_id: &RoomId,
    user: &UserId,
    salt: [u8; 16],
) -> Result<Option<RoomNumber>, StoreError> {
    let Some(room) = rooms::number(snapshot, room_id)? else { return Ok(None) };
    let Some(head) = rooms::head(snapshot, room)? else { return Ok(None) };
    let state = RoomRows { snapshot, room, salt }.state(head.state);
    let joined = state.membership(user)? == ruma::events::room::member::MembershipState::Join;
    Ok(joined.then_some(room))
}

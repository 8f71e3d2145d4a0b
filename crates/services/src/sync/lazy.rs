//! Which members a device was told of, so that lazy loading does not tell it again.
//!
//! Nothing here is needed for correctness: what was forgotten is told again. What was sent counts
//! only once the device shows that it has the answer, by asking with a token that is not older.

use std::{collections::HashMap, num::NonZeroUsize};

use lru::LruCache;
use model::{EventNumber, RoomNumber};
use parking_lot::Mutex;

use crate::reader::Reader;

/// Devices that are remembered.
const DEVICES_MAX: NonZeroUsize = NonZeroUsize::new(2_048).expect("not zero");
/// Members that are remembered for one device, in all of its rooms.
const MEMBERS_MAX: usize = 20_000;

pub(super) struct SentMembers {
    devices: Mutex<LruCache<(String, String), Sent>>,
}

/// (room, member event) → the position of the answer that it was first in. A member event names
/// its member, and a newer one of the same member is another event.
type Sent = HashMap<(RoomNumber, EventNumber), u64>;

impl Default for SentMembers {
    fn default() -> Self {
        Self { devices: Mutex::new(LruCache::new(DEVICES_MAX)) }
    }
}

impl SentMembers {
    /// The device begins anew and knows nothing.
    pub fn forget(&self, reader: &Reader) {
        if let Some(key) = key(reader) {
            self.devices.lock().pop(&key);
        }
    }

    /// The device begins anew with the room, and knows nothing of it.
    pub fn forget_room(&self, reader: &Reader, room: RoomNumber) {
        let Some(key) = key(reader) else { return };
        if let Some(sent) = self.devices.lock().get_mut(&key) {
            sent.retain(|(of_room, _), _| *of_room != room);
        }
    }

    /// Whether a device that has the answer of `since` knows the member event.
    pub fn knows(
        &self,
        reader: &Reader,
        room: RoomNumber,
        event: EventNumber,
        since: Option<u64>,
    ) -> bool {
        let (Some(key), Some(since)) = (key(reader), since) else { return false };
        let mut devices = self.devices.lock();
        let sent = devices.get(&key).and_then(|sent| sent.get(&(room, event)));
        sent.is_some_and(|position| *position <= since)
    }

    /// The answer that ends at `until` has these member events.
    pub fn remember(
        &self,
        reader: &Reader,
        room: RoomNumber,
        events: impl Iterator<Item = EventNumber>,
        until: u64,
    ) {
        let Some(key) = key(reader) else { return };
        let mut devices = self.devices.lock();
        let sent = devices.get_or_insert_mut(key, Sent::new);
        if sent.len() > MEMBERS_MAX {
            sent.clear();
        }
        for event in events {
            sent.entry((room, event)).or_insert(until);
        }
    }
}

fn key(reader: &Reader) -> Option<(String, String)> {
    let device = reader.device.as_ref()?;
    Some((reader.user.localpart().to_owned(), device.to_string()))
}

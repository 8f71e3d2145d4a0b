//! One at a time comes into a room, or goes out of it, through other servers.
//!
//! A join through another server begins the room anew here. Two at once would each begin it without
//! the other; and a leave that takes long must not overtake the join that came after it.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, RoomId};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Rooms that are remembered before those at whose entrance nobody waits are swept out.
const ROOMS_BEFORE_SWEEP: usize = 256;

/// The entrances of a homeserver's rooms.
#[derive(Default)]
pub(super) struct Entrances {
    locks: Mutex<HashMap<OwnedRoomId, Weak<AsyncMutex<()>>>>,
}

impl Entrances {
    /// Waits until nobody else is in the room's entrance. Whoever gets there looks first whether
    /// this homeserver is in the room by now.
    pub async fn enter(&self, room_id: &RoomId) -> OwnedMutexGuard<()> {
        self.lock_of(room_id).lock_owned().await
    }

    /// Whether somebody is in the room's entrance.
    pub fn is_occupied(&self, room_id: &RoomId) -> bool {
        self.locks.lock().get(room_id).is_some_and(|lock| lock.strong_count() > 0)
    }

    fn lock_of(&self, room_id: &RoomId) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock();
        if locks.len() >= ROOMS_BEFORE_SWEEP {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        if let Some(lock) = locks.get(room_id).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(room_id.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

//! What each device was told, by position.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
};

use lru::LruCache;
use model::RoomNumber;
use parking_lot::Mutex;

use super::{list::Listed, request::Details};
use crate::{reader::Reader, sync::token::SyncToken};

/// Connections that are remembered. One of a user in a thousand rooms takes some 200 kB.
const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");

pub(crate) struct Connections {
    held: Mutex<LruCache<Key, Held>>,
    next_serial: AtomicU64,
}

/// User, device, connection.
type Key = (String, String, String);

/// What the device had when it last asked, and what it was answered then.
struct Held {
    asked: Option<Told>,
    answered: Told,
}

/// What a device was told up to a position.
#[derive(Clone, Default)]
pub(super) struct Told {
    serial: u64,
    /// `None` at the beginning.
    pub since: Option<SyncToken>,
    pub rooms: HashMap<RoomNumber, ToldRoom>,
    /// All rooms of the user, as of `since`.
    pub listed: Arc<HashMap<RoomNumber, Listed>>,
}

#[derive(Clone)]
pub(super) struct ToldRoom {
    /// The device has the room's events up to this position.
    pub until: u64,
    pub details: Details,
}

impl Told {
    pub fn new(
        rooms: HashMap<RoomNumber, ToldRoom>,
        listed: HashMap<RoomNumber, Listed>,
        end: SyncToken,
    ) -> Self {
        Self { serial: 0, since: Some(end), rooms, listed: Arc::new(listed) }
    }
}

impl Connections {
    /// Positions of an earlier process are unknown to this one: it counts from the time on.
    pub fn new(now_ms: u64) -> Self {
        let held = Mutex::new(LruCache::new(CONNECTIONS_MAX));
        Self { held, next_serial: AtomicU64::new(now_ms << 10) }
    }

    /// What the device was told up to the position; `None` if that is not known any more.
    pub(super) fn told(
        &self,
        reader: &Reader,
        conn_id: &str,
        position: Option<&str>,
    ) -> Option<Told> {
        let Some(position) = position else { return Some(Told::default()) };
        let serial: u64 = position.parse().ok()?;
        let mut held = self.held.lock();
        let Held { asked, answered } = held.get(&key(reader, conn_id))?;
        let told = [Some(answered), asked.as_ref()].into_iter().flatten();
        told.into_iter().find(|told| told.serial == serial).cloned()
    }

    /// The device, which had been told `asked`, is now told `answered`. Gives the new position.
    pub(super) fn keep(
        &self,
        reader: &Reader,
        conn_id: &str,
        asked: &Told,
        answered: Told,
    ) -> String {
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        let asked = (asked.serial > 0).then(|| asked.clone());
        let answered = Told { serial, ..answered };
        self.held.lock().put(key(reader, conn_id), Held { asked, answered });
        serial.to_string()
    }
}

fn key(reader: &Reader, conn_id: &str) -> Key {
    let device = reader.device.as_ref().map(ToString::to_string).unwrap_or_default();
    (reader.user.localpart().to_owned(), device, conn_id.to_owned())
}

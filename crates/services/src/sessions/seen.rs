//! When and from where devices were last seen. Kept in memory and written now and then: no request
//! waits for it, and a crash loses some minutes of it.

use std::{collections::HashMap, net::IpAddr};

use ruma::OwnedDeviceId;
use store::{
    devices::{self, LastSeen},
    log::Change,
};

use super::{Caller, SessionError, Sessions};

/// Devices whose last sight waits to be written; more are not noted until the next writing.
const WAITING_MAX: usize = 10_000;

pub(super) type Seen = HashMap<(String, OwnedDeviceId), LastSeen>;

impl Sessions {
    /// Notes that the caller's device was used.
    pub fn note_seen(&self, caller: &Caller, address: Option<IpAddr>) {
        let Some(device_id) = caller.device_id.clone() else { return };
        let mut seen = self.seen.lock();
        let key = (caller.localpart().to_owned(), device_id);
        if seen.len() < WAITING_MAX || seen.contains_key(&key) {
            let address = address.map(|address| address.to_string());
            seen.insert(key, LastSeen { at_ms: self.context.clock.now_ms(), address });
        }
    }

    /// When the device was last seen, if that is not written yet.
    pub(crate) fn unwritten_sight(&self, localpart: &str, device_id: &str) -> Option<LastSeen> {
        self.seen.lock().get(&(localpart.to_owned(), device_id.into())).cloned()
    }

    /// Writes what was noted. Called by a timer and before the process stops.
    pub async fn write_seen(&self) -> Result<(), SessionError> {
        let seen: Vec<_> = self.seen.lock().drain().collect();
        for part in seen.chunks(kv::PAGE_ROWS_MAX) {
            self.write_part(part.to_vec()).await?;
        }
        Ok(())
    }

    async fn write_part(
        &self,
        seen: Vec<((String, OwnedDeviceId), LastSeen)>,
    ) -> Result<(), SessionError> {
        self.context
            .change(move |rows, batch| {
                for ((localpart, device_id), seen) in &seen {
                    // The device may have been logged out since.
                    if devices::get(rows, localpart, device_id.as_str())?.is_some() {
                        devices::put_last_seen(batch, localpart, device_id.as_str(), seen);
                    }
                }
                Ok(((), vec![Change::Nothing]))
            })
            .await
    }
}

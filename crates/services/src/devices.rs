//! A user's devices.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#device-management>

use std::sync::Arc;

use kv::{CommitError, StoreError};
use store::{
    devices::{self, Device, LastSeen},
    log::Change,
};

use crate::{
    Context,
    keys::note_changed,
    sessions::{Caller, Sessions},
};

pub(crate) mod removal;
#[cfg(test)]
mod tests;

/// Characters of a device's name.
pub const DISPLAY_NAME_LENGTH_MAX: usize = 255;

/// A device as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    pub device_id: String,
    pub display_name: Option<String>,
    pub last_seen: Option<LastSeen>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("the user has no such device")]
    UnknownDevice,
    #[error("a device's name has at most {DISPLAY_NAME_LENGTH_MAX} characters")]
    LongName,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct Devices {
    context: Context,
    sessions: Arc<Sessions>,
}

impl Devices {
    pub fn new(context: Context, sessions: Arc<Sessions>) -> Self {
        Self { context, sessions }
    }

    pub async fn list(&self, localpart: &str) -> Result<Vec<DeviceInfo>, DeviceError> {
        let user = localpart.to_owned();
        let devices = self.context.store.read(move |rows| {
            let devices = devices::of_user(rows, &user)?.into_iter();
            let devices = devices.map(|(device_id, device)| {
                let last_seen = devices::last_seen(rows, &user, &device_id)?;
                Ok(DeviceInfo { device_id, display_name: device.display_name, last_seen })
            });
            devices.collect::<Result<Vec<_>, StoreError>>()
        });
        let mut devices = devices.await?;
        for device in &mut devices {
            let unwritten = self.sessions.unwritten_sight(localpart, &device.device_id);
            device.last_seen = unwritten.or(device.last_seen.take());
        }
        Ok(devices)
    }

    pub async fn get(
        &self,
        localpart: &str,
        device_id: &str,
    ) -> Result<Option<DeviceInfo>, DeviceError> {
        let devices = self.list(localpart).await?;
        Ok(devices.into_iter().find(|device| device.device_id == device_id))
    }

    pub async fn rename(
        &self,
        caller: &Caller,
        device_id: &str,
        name: Option<String>,
    ) -> Result<(), DeviceError> {
        let length = name.as_ref().map_or(0, |name| name.chars().count());
        if length > DISPLAY_NAME_LENGTH_MAX {
            return Err(DeviceError::LongName);
        }
        let (user_id, device_id) = (caller.user_id.clone(), device_id.to_owned());
        self.context
            .change(move |rows, batch| {
                let user = user_id.localpart().to_owned();
                let old = devices::get(rows, &user, &device_id)?;
                let Some(old) = old else { return Err(DeviceError::UnknownDevice) };
                let device = Device { display_name: name.clone(), ..old.clone() };
                if device == old {
                    return Ok(((), Vec::new()));
                }
                devices::put(batch, &user, &device_id, &device, Some(&old));
                let changed = note_changed(rows, batch, &user_id)?;
                Ok(((), vec![Change::Account { user }, changed]))
            })
            .await
    }

    /// Deletes the devices, and with them their sessions. Ids that are unknown are passed over.
    pub async fn remove(
        &self,
        caller: &Caller,
        device_ids: Vec<String>,
    ) -> Result<(), DeviceError> {
        let user_id = caller.user_id.clone();
        self.context
            .change(move |rows, batch| {
                for device_id in &device_ids {
                    removal::remove(rows, batch, &user_id, device_id)?;
                }
                Ok(((), removal::changes(&user_id)))
            })
            .await
    }
}

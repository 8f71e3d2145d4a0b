//! Removing devices, and with each everything that hangs on it.

use kv::{Batch, Snapshot, StoreError};
use ruma::UserId;
use store::{device_keys, devices, log::Change, log::LogEntry, pushers, to_device};

use crate::{keys::note_changed, sessions::delete_pairs};

/// Removes a device with its tokens, pushers, keys and messages. `false` if there is no such
/// device.
pub(crate) fn remove(
    rows: &Snapshot,
    batch: &mut Batch,
    user_id: &UserId,
    device_id: &str,
) -> Result<bool, StoreError> {
    let localpart = user_id.localpart();
    let Some(device) = devices::get(rows, localpart, device_id)? else { return Ok(false) };
    delete_pairs(batch, &device.pairs);
    devices::delete(batch, localpart, device_id, &device);
    for (id, pusher) in pushers::of_user(rows, localpart)? {
        if pusher.device_id == device_id {
            pushers::delete(batch, localpart, &id);
        }
    }
    device_keys::delete_device(batch, localpart, device_id);
    to_device::delete_all(batch, localpart, device_id);
    note_changed(rows, batch, user_id)?;
    Ok(true)
}

/// [`remove`]s all devices of the user but one.
pub(crate) fn remove_all_but(
    rows: &Snapshot,
    batch: &mut Batch,
    user_id: &UserId,
    kept: Option<&str>,
) -> Result<(), StoreError> {
    for (device_id, _) in devices::of_user(rows, user_id.localpart())? {
        if Some(device_id.as_str()) != kept {
            remove(rows, batch, user_id, &device_id)?;
        }
    }
    Ok(())
}

/// What the removal of devices changes.
pub(crate) fn changes(user_id: &UserId) -> LogEntry {
    let user = user_id.localpart().to_owned();
    vec![Change::Account { user }, Change::DeviceList { user: user_id.to_string() }]
}

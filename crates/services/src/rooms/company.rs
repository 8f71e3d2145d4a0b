//! Servers that begin to share a room with one of our users.

use kv::{Batch, Snapshot, StoreError};
use model::RoomNumber;
use ruma::{RoomId, UserId};
use store::{
    device_keys,
    log::Change,
    memberships::{self, Kind},
};

use super::{Rooms, WriteError};

/// Servers and rooms that are compared to find out who begins to share one.
const SERVERS_COMPARED_MAX: usize = 20;
const ROOMS_COMPARED_MAX: usize = 200;

impl Rooms {
    /// The local user has come into the room: servers that begin to share one with him are to be
    /// told of his devices ("when that user joins a room which contains servers which are not
    /// already receiving updates", server-server API, "Device management").
    pub(super) async fn show_devices(
        &self,
        room_id: &RoomId,
        user: &UserId,
    ) -> Result<(), WriteError> {
        let (us, room_id, user) =
            (self.context().server_name.clone(), room_id.to_owned(), user.to_owned());
        let showing = self.context().change(move |rows: &Snapshot, batch: &mut Batch| {
            let Some(room) = store::rooms::number(rows, &room_id)? else {
                return Ok(((), Vec::new()));
            };
            if !has_new_server(rows, room, (us.as_str(), user.localpart()))? {
                return Ok(((), Vec::new()));
            }
            let before = device_keys::changed_at(rows, user.as_str())?;
            device_keys::put_changed(batch, user.as_str(), before);
            Ok::<_, WriteError>(((), vec![Change::DeviceList { user: user.to_string() }]))
        });
        showing.await
    }
}

/// Whether the room has another server that the user shares no other room with.
fn has_new_server(
    rows: &Snapshot,
    room: RoomNumber,
    (us, localpart): (&str, &str),
) -> Result<bool, StoreError> {
    let here = memberships::servers(rows, room)?.into_iter();
    let mut others = here.filter(|(name, row)| row.joined > 0 && name != us);
    let own = memberships::of_user(rows, localpart)?.into_iter();
    let own = own.filter(|(number, row)| row.kind == Kind::Join && *number != room);
    let own: Vec<RoomNumber> = own.map(|(number, _)| number).take(ROOMS_COMPARED_MAX).collect();
    for (server, _) in others.by_ref().take(SERVERS_COMPARED_MAX) {
        let mut shared = false;
        for room in &own {
            let row = memberships::server_in_room(rows, &server, *room)?;
            shared |= row.is_some_and(|row| row.joined > 0);
        }
        if !shared {
            return Ok(true);
        }
    }
    // In a crowd of servers one of them is new, as likely as not.
    Ok(others.next().is_some())
}

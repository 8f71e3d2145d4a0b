//! What another server may do in a room. Every handler that touches a room takes a grant, and only
//! the checks in here make one.

use std::sync::Arc;

use ruma::{RoomId, ServerName};
use services::{
    room_rows::{Event, RoomRows},
    rooms::{Room, visitors},
};
use web::Error;

use crate::{Federation, authorization::RemoteServer, inbound::errors};

/// The server may read what it may see of the room: it has users in it or had, then up to the end
/// of its stay, and the room's access control list lets it take part. Also of a room that we have
/// left: what was said there before we did is missing where it has not arrived, and others may have
/// it from nobody but us.
#[derive(Clone)]
pub struct RoomReadGrant {
    room: Arc<Room>,
    stay: visitors::Stay,
    we_are_resident: bool,
}

/// The server may propose and send member events of its users: the room's access control list lets
/// it take part. Whether the users may, the room's rules say.
#[derive(Clone)]
pub struct RoomWriteGrant {
    room: Arc<Room>,
}

impl RoomReadGrant {
    /// Checks what the server may do in the room.
    pub async fn check(
        federation: &Federation,
        remote: &RemoteServer,
        room_id: &RoomId,
    ) -> Result<Self, Error> {
        let (room, visitor) = visit(federation, remote.name(), room_id).await?;
        match visitor.stay {
            Some(stay) => Ok(Self { room, stay, we_are_resident: visitor.we_are_resident }),
            None => Err(Error::forbidden("Your server is not in the room")),
        }
    }

    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Whether we are in the room ourselves, and what happens there now concerns us.
    pub fn we_are_resident(&self) -> bool {
        self.we_are_resident
    }

    /// Asks one snapshot of the room's rows.
    pub async fn read<T: Send + 'static>(
        &self,
        federation: &Federation,
        question: impl FnOnce(&Seen<'_>) -> Result<T, services::StoreError> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        let stay = self.stay;
        let read = federation
            .services
            .rooms
            .read(self.room.number, move |rows| question(&Seen { rows, stay }));
        read.await.map_err(Error::internal)
    }
}

impl RoomWriteGrant {
    /// Checks what the server may do in the room.
    pub async fn check(
        federation: &Federation,
        remote: &RemoteServer,
        room_id: &RoomId,
    ) -> Result<Self, Error> {
        let (room, visitor) = visit(federation, remote.name(), room_id).await?;
        match visitor.we_are_resident {
            true => Ok(Self { room }),
            false => Err(unknown_room()),
        }
    }

    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }
}

/// A room's rows as a server may see them.
pub struct Seen<'a> {
    pub rows: RoomRows<'a>,
    stay: visitors::Stay,
}

impl Seen<'_> {
    /// An event of this room that a server in the room may know of, though not always what it says:
    /// that is for [`shown`](Self::shown) to decide. Without the events between those that it may
    /// see, and the states at them, it could not judge the latter.
    pub fn event(&self, event_id: &ruma::EventId) -> Result<Option<Event>, services::StoreError> {
        let event = self.rows.event_by_id(event_id)?;
        let told = |event: &Event| visitors::is_part_of_the_room(event) && self.stay.reaches(event);
        Ok(event.filter(told))
    }

    /// Those of the events from which the server may look back.
    pub fn known(
        &self,
        event_ids: &[ruma::OwnedEventId],
    ) -> Result<Vec<ruma::OwnedEventId>, services::StoreError> {
        let mut known = Vec::with_capacity(event_ids.len());
        for event_id in event_ids {
            if self.event(event_id)?.is_some() {
                known.push(event_id.clone());
            }
        }
        Ok(known)
    }

    /// Whether the server may see what the event says.
    pub fn is_visible(&self, event: &Event) -> Result<bool, services::StoreError> {
        visitors::is_visible(self.rows, event, self.stay.since)
    }

    /// The event as the server may see it: redacted, if it may only know that there is one.
    pub fn shown(&self, event: &Event) -> Result<Arc<model::pdu::Pdu>, services::StoreError> {
        visitors::shown(self.rows, event, self.stay.since)
    }
}

/// The room, if the server may take part in it.
async fn visit(
    federation: &Federation,
    server: &ServerName,
    room_id: &RoomId,
) -> Result<(Arc<Room>, visitors::Visitor), Error> {
    let rooms = &federation.services.rooms;
    let room = rooms.find(room_id).await.map_err(errors::write)?.ok_or_else(unknown_room)?;
    let visitor = rooms.visitor(&room, server).await.map_err(errors::write)?;
    if !visitor.is_allowed {
        return Err(Error::forbidden("The room's access control list denies your server"));
    }
    Ok((room, visitor))
}

fn unknown_room() -> Error {
    Error::not_found("This server is not in the room")
}

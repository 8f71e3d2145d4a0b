//! Other servers as visitors of a room: whether they may take part in it, and what of its history
//! they may see.

use std::sync::Arc;

use kv::StoreError;
use model::{EventNumber, acl::ServerAcl, pdu::Pdu, redact, visibility::HistoryVisibility};
use ruma::{EventId, RoomId, ServerName};
pub use store::events::Order;
use store::{
    events::{self, Place, Standing},
    memberships,
    value::corrupt,
};

use super::{Room, Rooms, WriteError};
use crate::room_rows::{Event, RoomRows};

/// How a server stands to a room.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// This homeserver is resident: it can speak for the room.
    pub we_are_resident: bool,
    /// The room's access control list lets the server take part.
    pub is_allowed: bool,
    /// When its users were in the room the last time; `None` when they never were.
    pub stay: Option<Stay>,
}

/// A server's time in a room, as a part of the room's timeline.
#[derive(Clone, Copy, Debug)]
pub struct Stay {
    pub since: Order,
    /// The event with which it ended. The server may need what was before it to take that in.
    pub until: Option<End>,
}

/// The end of a stay.
#[derive(Clone, Copy, Debug)]
pub struct End {
    order: Order,
    number: EventNumber,
}

impl Rooms {
    /// How the server stands to the room now.
    pub async fn visitor(&self, room: &Room, server: &ServerName) -> Result<Visitor, WriteError> {
        let (us, server) = (self.context().server_name.clone(), server.to_owned());
        let visitor = self.read(room.number, move |rows| {
            let presence = |server: &ServerName| {
                memberships::server_in_room(rows.snapshot, server.as_str(), rows.room)
            };
            let Some(head) = store::rooms::head(rows.snapshot, rows.room)? else {
                return Ok(Visitor { we_are_resident: false, is_allowed: true, stay: None });
            };
            let acl = rows.state(head.state).event("m.room.server_acl", "")?;
            // What is in no timeline was here before us.
            let place = |number| {
                let event = rows.event(number)?;
                Ok::<_, StoreError>(event.and_then(order).unwrap_or(Order::MIN))
            };
            let stay = presence(&server)?.map(|presence| {
                let end = |number| Ok::<_, StoreError>(End { order: place(number)?, number });
                let until = presence.until.map(end).transpose()?;
                Ok::<_, StoreError>(Stay { since: place(presence.since)?, until })
            });
            Ok(Visitor {
                we_are_resident: presence(&us)?.is_some_and(|presence| presence.joined > 0),
                is_allowed: acl.is_none_or(|acl| ServerAcl::of(&acl.pdu).allows(&server)),
                stay: stay.transpose()?,
            })
        });
        Ok(visitor.await?)
    }

    /// The room that an event is in.
    pub async fn room_of_event(&self, event_id: &EventId) -> Result<Option<Arc<Room>>, WriteError> {
        let event_id = event_id.to_owned();
        let found = self.context().store.read(move |snapshot| {
            let Some((room, _)) = events::number(snapshot, &event_id)? else { return Ok(None) };
            let head = store::rooms::head(snapshot, room)?;
            Ok::<_, StoreError>(head.and_then(|head| RoomId::parse(head.room_id).ok()))
        });
        match found.await? {
            Some(room_id) => self.find(&room_id).await,
            None => Ok(None),
        }
    }
}

impl Stay {
    /// Whether the event is of this time, or of the time before it. What is in no timeline is of
    /// the time at which it came here.
    pub fn reaches(&self, event: &Event) -> bool {
        self.until.is_none_or(|until| match order(event.clone()) {
            Some(order) => order <= until.order,
            None => event.number <= until.number,
        })
    }
}

/// Whether the event is in the room's graph, or in a state or an auth chain of the room. A
/// soft-failed one is: others may have gone on from it.
pub fn is_part_of_the_room(event: &Event) -> bool {
    match event.record.standing {
        Standing::Accepted | Standing::SoftFailed => true,
        Standing::Outlier => event.pdu.is_state(),
        Standing::Rejected => false,
    }
}

/// Whether a server that has been in the room since then may see what the event says. What it may
/// have seen in an earlier stay is not looked for: it has that. State is for every server in the
/// room, which needs it to judge the room's present, whatever the visibility of its history: whom of
/// its users it shows that is its own duty.
pub fn is_visible(rows: RoomRows<'_>, event: &Event, since: Order) -> Result<bool, StoreError> {
    if event.pdu.is_state() {
        return Ok(true);
    }
    let Some(root) = event.record.state_before else { return Ok(false) };
    let visibility = rows.state(root).event("m.room.history_visibility", "")?;
    Ok(match HistoryVisibility::of(visibility.as_ref().map(|event| &*event.pdu)) {
        HistoryVisibility::WorldReadable | HistoryVisibility::Shared => true,
        HistoryVisibility::Invited | HistoryVisibility::Joined => {
            order(event.clone()).is_some_and(|order| order >= since)
        }
    })
}

/// The event as the server may see it: redacted, if it may only know that there is one.
pub fn shown(rows: RoomRows<'_>, event: &Event, since: Order) -> Result<Arc<Pdu>, StoreError> {
    if is_visible(rows, event, since)? {
        return Ok(Arc::clone(&event.pdu));
    }
    Ok(Arc::new(redact::redact(&event.pdu).map_err(|_| corrupt("redacted event"))?))
}

fn order(event: Event) -> Option<Order> {
    match event.record.place {
        Place::At(order) => Some(order),
        Place::Nowhere | Place::Live(_) => None,
    }
}

//! Other servers as visitors of a room: whether they may take part in it, and what of its history
//! they may see.

use std::sync::Arc;

use kv::StoreError;
use model::{acl::ServerAcl, pdu::Pdu, redact, visibility::HistoryVisibility};
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
    /// Where in the timeline its users came in last; `None` when none of them is joined.
    pub since: Option<Order>,
}

impl Rooms {
    /// How the server stands to the room now.
    pub async fn visitor(&self, room: &Room, server: &ServerName) -> Result<Visitor, WriteError> {
        let (us, server) = (self.context().server_name.clone(), server.to_owned());
        let visitor = self.read(room.number, move |rows| {
            let joined = |server: &ServerName| {
                let presence =
                    memberships::server_in_room(rows.snapshot, server.as_str(), rows.room)?;
                Ok::<_, StoreError>(presence.filter(|presence| presence.joined > 0))
            };
            let Some(head) = store::rooms::head(rows.snapshot, rows.room)? else {
                return Ok(Visitor { we_are_resident: false, is_allowed: true, since: None });
            };
            let acl = rows.state(head.state).event("m.room.server_acl", "")?;
            let since = match joined(&server)? {
                // What is in no timeline was here before us.
                Some(presence) => {
                    Some(rows.event(presence.since)?.and_then(order).unwrap_or(Order::MIN))
                }
                None => None,
            };
            Ok(Visitor {
                we_are_resident: joined(&us)?.is_some(),
                is_allowed: acl.is_none_or(|acl| ServerAcl::of(&acl.pdu).allows(&server)),
                since,
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

//! One reader's view of one room: what it may see, as it is to be shown.
//!
//! Everything is read from one snapshot, in few round trips: the rows of a page are fetched
//! together, and so is what is shown beside them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use kv::{Snapshot, StoreError};
use model::{
    EventNumber, RoomNumber,
    state_tree::{NodeId, StateTree},
};
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId};
use serde::Deserialize;
use store::{
    account_data,
    events::{self, Order, StoredEvent},
    room_states,
    rooms::RoomHead,
    value::corrupt,
};

use crate::{
    Context,
    client_event::{ClientEvent, EventView},
    filter::EventFilter,
    recent::RecentEvents,
    room_rows::RoomRows,
    timeline::token,
    visibility::Oracle,
};

mod bundles;
mod members;
mod render;
mod walk;

/// A local user, and the device that he reads with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    pub user: OwnedUserId,
    /// `None` for an appservice that reads as the user without a device of his.
    pub device: Option<OwnedDeviceId>,
}

/// A room, as a reader sees it.
pub struct RoomView<'a> {
    pub rows: RoomRows<'a>,
    pub room_id: OwnedRoomId,
    pub head: RoomHead,
    pub oracle: Oracle<'a>,
    pub reader: &'a Reader,
    pub now_ms: u64,
    recent: Arc<RecentEvents>,
    /// Whose messages the reader does not want.
    ignored: HashSet<OwnedUserId>,
}

/// Events of a timeline, in the order of the walk.
#[derive(Debug, Default)]
pub struct Page {
    pub events: Vec<ClientEvent>,
    /// Where the walk goes on; `None` when it came to the end of what it may show.
    pub next: Option<Order>,
}

/// Rows that a walk looks at for one page, however few of them it may show. Keeps a page full of
/// hidden or unwanted events from taking for ever.
const LOOKED_AT_MAX: usize = 1_000;

impl<'a> RoomView<'a> {
    /// The room with this id, if this homeserver knows it.
    pub fn open(
        context: &Context,
        snapshot: &'a Snapshot,
        reader: &'a Reader,
        room_id: &RoomId,
    ) -> Result<Option<Self>, StoreError> {
        let Some(room) = store::rooms::number(snapshot, room_id)? else { return Ok(None) };
        let Some(head) = store::rooms::head(snapshot, room)? else { return Ok(None) };
        let ignored = ignored_users(snapshot, reader)?;
        Ok(Some(Self::new(context, snapshot, reader, (room, head), ignored)?))
    }

    /// A room whose head was read already, for one of several rooms of a reader.
    pub fn new(
        context: &Context,
        snapshot: &'a Snapshot,
        reader: &'a Reader,
        (room, head): (RoomNumber, RoomHead),
        ignored: HashSet<OwnedUserId>,
    ) -> Result<Self, StoreError> {
        let room_id = OwnedRoomId::try_from(head.room_id.as_str());
        let rows = RoomRows { snapshot, room, salt: context.state_salt };
        Ok(Self {
            rows,
            room_id: room_id.map_err(|_| corrupt("room id"))?,
            head,
            oracle: Oracle::new(rows, &reader.user),
            reader,
            now_ms: context.clock.now_ms(),
            recent: Arc::clone(&context.recent),
            ignored,
        })
    }

    /// Whether the reader may read anything of the room.
    pub fn is_open(&self) -> Result<bool, StoreError> {
        Ok(!self.head.blocked && self.oracle.may_read_room(&self.head.state)?)
    }

    /// The state that the reader may see: the present one if he is joined or everybody may see it,
    /// otherwise the one at his leave.
    pub fn state_root(&self) -> Result<Option<NodeId>, StoreError> {
        if !self.is_open()? {
            return Ok(None);
        }
        if self.oracle.is_joined()? {
            return Ok(Some(self.head.state));
        }
        match self.oracle.last_leave()? {
            Some(leave) => Ok(leave.record.state_after),
            None => Ok(Some(self.head.state)),
        }
    }

    /// The room's state just after a position of the log.
    pub fn state_at(&self, position: u64) -> Result<NodeId, StoreError> {
        if let Some(root) = room_states::at(self.rows.snapshot, self.rows.room, position)? {
            return Ok(root);
        }
        // Before its first position of its own, a room is what its timeline says.
        Ok(self.state_before(token::after_position(position))?.unwrap_or(StateTree::EMPTY))
    }

    /// The state at a boundary of the timeline: after the last event before it.
    pub fn state_before(&self, boundary: Order) -> Result<Option<NodeId>, StoreError> {
        let (snapshot, room) = (self.rows.snapshot, self.rows.room);
        let last = events::timeline(snapshot, room, (Order::MIN, boundary), true, 1)?;
        let Some((_, number)) = last.first() else { return Ok(None) };
        Ok(self.stored(*number)?.and_then(|event| event.record.state_after))
    }

    /// The event with this number, whether or not the reader may see it.
    pub fn stored(&self, number: EventNumber) -> Result<Option<ClientEvent>, StoreError> {
        let stored = events::get(self.rows.snapshot, self.rows.room, number)?;
        Ok(stored.map(ClientEvent::from))
    }

    /// Events with these numbers; one round trip. A number that is not stored is an error.
    pub fn stored_all(&self, numbers: &[EventNumber]) -> Result<Vec<ClientEvent>, StoreError> {
        let stored = events::multi_get(self.rows.snapshot, self.rows.room, numbers)?.into_iter();
        let event = |event: Option<StoredEvent>| event.map(ClientEvent::from);
        stored.map(|stored| event(stored).ok_or_else(|| corrupt("event number"))).collect()
    }

    /// The event with this id, if it is in this room and the reader may see it.
    pub fn visible(&self, event_id: &ruma::EventId) -> Result<Option<ClientEvent>, StoreError> {
        let number = match events::number(self.rows.snapshot, event_id)? {
            Some((room, number)) if room == self.rows.room => number,
            _ => return Ok(None),
        };
        match self.stored(number)? {
            Some(event) if self.is_open()? && self.oracle.sees(&event)? => Ok(Some(event)),
            _ => Ok(None),
        }
    }

    /// Walks the timeline between two boundaries, and gathers up to `limit` events that the reader
    /// may see and wants.
    pub fn page(
        &self,
        (from, to): (Order, Order),
        backwards: bool,
        limit: usize,
        filter: &EventFilter,
    ) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let (mut from, mut to, mut looked_at) = (from, to, 0);
        if !filter.wants_room(&self.room_id) {
            return Ok(page);
        }
        while from < to && looked_at < LOOKED_AT_MAX {
            let wanted = (limit - page.events.len() + 1).clamp(8, LOOKED_AT_MAX);
            let walked = self.walk((from, to), backwards, wanted)?;
            let is_all = walked.len() < wanted;
            looked_at += walked.len();
            for (order, event) in walked {
                match backwards {
                    true => to = order,
                    false => from = token::after(order),
                }
                if !self.shows(&event, filter)? {
                    continue;
                }
                if page.events.len() == limit {
                    page.next = Some(if backwards { token::after(order) } else { order });
                    return Ok(page);
                }
                page.events.push(event);
            }
            if is_all {
                return Ok(page);
            }
        }
        page.next = (from < to).then_some(if backwards { to } else { from });
        Ok(page)
    }

    /// Whether the reader may see the event, and wants to.
    pub fn shows(&self, event: &ClientEvent, filter: &EventFilter) -> Result<bool, StoreError> {
        if !self.oracle.sees(event)? {
            return Ok(false);
        }
        if filter.is_open() && self.ignored.is_empty() {
            return Ok(true);
        }
        let view = EventView::read(event)?;
        Ok(filter.wants(&view) && !self.ignores(&view))
    }

    /// "Servers must still send state events sent by ignored users" (client-server API, "Ignoring
    /// users").
    fn ignores(&self, view: &EventView<'_>) -> bool {
        view.state_key.is_none() && self.ignored.iter().any(|user| *user == *view.sender)
    }
}

/// Whose messages the reader does not want to see.
pub(crate) fn ignored_users(
    snapshot: &Snapshot,
    reader: &Reader,
) -> Result<HashSet<OwnedUserId>, StoreError> {
    #[derive(Deserialize)]
    struct Content {
        ignored_users: BTreeMap<OwnedUserId, serde::de::IgnoredAny>,
    }
    let localpart = reader.user.localpart();
    let item = account_data::get(snapshot, localpart, None, "m.ignored_user_list")?;
    let content = item.and_then(|item| serde_json::from_slice::<Content>(&item.content).ok());
    Ok(content.map(|content| content.ignored_users.into_keys().collect()).unwrap_or_default())
}

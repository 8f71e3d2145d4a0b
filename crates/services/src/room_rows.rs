//! Events and states of one room, as one snapshot shows them.

use std::sync::Arc;

use kv::{Snapshot, StoreError};
use model::{
    EventNumber, RoomNumber,
    pdu::Pdu,
    state_tree::{Entry, NodeId, NodeReader, StateTree},
};
use ruma::{EventId, OwnedEventId, events::room::member::MembershipState};
use store::{
    events::{self, EventRecord, StoredEvent},
    value::corrupt,
};

/// An event of a room and what this homeserver knows of it.
#[derive(Clone, Debug)]
pub struct Event {
    pub number: EventNumber,
    pub record: EventRecord,
    pub pdu: Arc<Pdu>,
}

/// One room in one snapshot.
#[derive(Clone, Copy)]
pub struct RoomRows<'a> {
    pub snapshot: &'a Snapshot,
    pub room: RoomNumber,
    /// The homeserver's salt of state trees.
    pub salt: [u8; 16],
}

/// The room's state at one moment.
#[derive(Clone, Copy)]
pub struct StateRows<'a> {
    pub rows: RoomRows<'a>,
    pub root: NodeId,
}

impl Event {
    pub fn read(stored: StoredEvent) -> Result<Self, StoreError> {
        let StoredEvent { number, record, pdu } = stored;
        let event_id = OwnedEventId::try_from(record.event_id.as_str());
        let event_id = event_id.map_err(|_| corrupt("event id"))?;
        let pdu = Pdu::from_stored(pdu, event_id).map_err(|_| corrupt("event"))?;
        let rejected = record.standing == events::Standing::Rejected;
        Ok(Self { number, record, pdu: Arc::new(pdu.with_rejected(rejected)) })
    }

    /// Whether clients may ever be shown it: it is in the room's timeline or state by right.
    pub fn is_accepted(&self) -> bool {
        self.record.standing == events::Standing::Accepted
    }
}

impl<'a> RoomRows<'a> {
    pub fn event(&self, number: EventNumber) -> Result<Option<Event>, StoreError> {
        events::get(self.snapshot, self.room, number)?.map(Event::read).transpose()
    }

    /// The events with these numbers, in this order; one round trip. A number that is not stored is
    /// an error.
    pub fn events(&self, numbers: &[EventNumber]) -> Result<Vec<Event>, StoreError> {
        let stored = events::multi_get(self.snapshot, self.room, numbers)?.into_iter();
        let read =
            |event: Option<StoredEvent>| Event::read(event.ok_or_else(|| corrupt("event number"))?);
        stored.map(read).collect()
    }

    /// The event with this id, if it is stored in this room.
    pub fn event_by_id(&self, event_id: &EventId) -> Result<Option<Event>, StoreError> {
        match events::number(self.snapshot, event_id)? {
            Some((room, number)) if room == self.room => self.event(number),
            _ => Ok(None),
        }
    }

    pub fn state(&self, root: NodeId) -> StateRows<'a> {
        StateRows { rows: *self, root }
    }
}

impl NodeReader for RoomRows<'_> {
    type Error = StoreError;

    fn node(&self, id: &NodeId) -> Result<bytes::Bytes, StoreError> {
        let node = store::state::node(self.snapshot, self.room, id)?;
        node.ok_or_else(|| corrupt("state node"))
    }

    fn damaged(&self, _: &NodeId) -> StoreError {
        corrupt("state node")
    }
}

impl StateRows<'_> {
    pub fn entry(&self, event_type: &str, state_key: &str) -> Result<Option<Entry>, StoreError> {
        StateTree::new(self.rows.salt).get(&self.rows, self.root, event_type, state_key)
    }

    pub fn event(&self, event_type: &str, state_key: &str) -> Result<Option<Event>, StoreError> {
        match self.entry(event_type, state_key)? {
            Some(entry) => self.rows.event(entry.event),
            None => Ok(None),
        }
    }

    /// A user's membership; users that the state does not name have left.
    pub fn membership(&self, user_id: &ruma::UserId) -> Result<MembershipState, StoreError> {
        let event = self.event("m.room.member", user_id.as_str())?;
        Ok(event.and_then(|event| event.pdu.membership()).unwrap_or(MembershipState::Leave))
    }
}

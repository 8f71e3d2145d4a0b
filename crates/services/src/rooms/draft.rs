//! What a room is about to become: events are put into a draft one by one, each decided on the
//! state that the one before it left; then the draft is one batch.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use kv::{Batch, StoreError};
use model::{
    EventNumber, RoomNumber,
    build::{self, EventTemplate, Place},
    event_auth,
    pdu::{PREV_EVENTS_MAX, Pdu},
    room_version::RoomVersion,
    state_res::{RoomEvent, RoomEvents},
    state_tree::{Entry, NodeId, NodeReader, StateTree},
};
use ruma::{OwnedEventId, OwnedRoomId};
use store::{
    events::{self, EventRecord, SentBy, Standing},
    log::Change,
    memberships::ServerInRoom,
    relations, room_states,
    rooms::{Extremity, RoomHead},
    value::corrupt,
};

use super::{Room, WriteError, writer::Known};
use crate::{
    Context,
    room_rows::{Event, RoomRows},
};

mod effects;
mod foreign;
mod stays;

pub(crate) use foreign::Arrival;

/// A draft, and the rows that it may read. Without rows it asks for them by failing with
/// [`WriteError::NeedsRows`].
pub(crate) struct Draft<'a> {
    pub drafted: Drafted,
    rows: Option<RoomRows<'a>>,
    /// An earlier draft of the same was refused when it was committed.
    pub is_repeated: bool,
}

/// What was drafted so far.
pub(crate) struct Drafted {
    pub context: Context,
    pub room: RoomNumber,
    pub room_id: OwnedRoomId,
    pub version: RoomVersion,
    /// What the writer knew before.
    known: Known,
    /// The head as it will be.
    head: RoomHead,
    /// Parts of the current state that this draft changed.
    state: HashMap<(String, String), Option<Event>>,
    servers: HashMap<String, Option<ServerInRoom>>,
    /// Nodes of state trees that are not stored yet.
    nodes: HashMap<NodeId, Bytes>,
    /// Events that this draft stores or rewrites.
    stored: HashMap<EventNumber, Event>,
    stored_ids: HashMap<OwnedEventId, EventNumber>,
    timeline: Vec<EventNumber>,
    /// Redactions of this draft that wait for what they redact.
    redactions: Vec<(OwnedEventId, EventNumber)>,
    /// The room's head is written even if it has no event.
    noted: bool,
    pub batch: Batch,
    pub changes: Vec<Change>,
}

/// What is known of an event that is about to be placed in the room's graph.
pub(super) struct Judged {
    /// Its number, if it is stored already: an outlier. States may name it by that.
    pub number: Option<EventNumber>,
    pub auth: Vec<EventNumber>,
    /// The state before it.
    pub before: NodeId,
    pub standing: Standing,
    /// The redaction that came before it; the event is redacted already.
    pub redacted_by: Option<EventNumber>,
    pub sent_by: Option<SentBy>,
}

impl Judged {
    /// A new event that belongs there.
    pub fn accepted(auth: Vec<EventNumber>, before: NodeId) -> Self {
        Self {
            number: None,
            auth,
            before,
            standing: Standing::Accepted,
            redacted_by: None,
            sent_by: None,
        }
    }
}

/// An event's type and state key.
type StateKey = (String, String);

impl<'a> Draft<'a> {
    pub fn new(context: &Context, room: &Room, known: Known, rows: Option<RoomRows<'a>>) -> Self {
        let head = known.head.clone().unwrap_or_else(|| RoomHead {
            room_id: room.id.to_string(),
            room_version: room.version.as_str().to_owned(),
            extremities: Vec::new(),
            state: StateTree::EMPTY,
            depth: 0,
            next_event: 1,
            next_backfill: -1,
            blocked: false,
        });
        let drafted = Drafted {
            context: context.clone(),
            room: room.number,
            room_id: room.id.clone(),
            version: room.version,
            known,
            head,
            state: HashMap::new(),
            servers: HashMap::new(),
            nodes: HashMap::new(),
            stored: HashMap::new(),
            stored_ids: HashMap::new(),
            timeline: Vec::new(),
            redactions: Vec::new(),
            noted: false,
            batch: context.batch(),
            changes: Vec::new(),
        };
        Self { drafted, rows, is_repeated: false }
    }

    pub fn rows(&self) -> Result<RoomRows<'a>, WriteError> {
        self.rows.ok_or(WriteError::NeedsRows)
    }

    /// Whether the room has any event yet.
    pub fn exists(&self) -> bool {
        !self.drafted.head.extremities.is_empty()
    }

    /// Root of the current state.
    pub fn root(&self) -> NodeId {
        self.drafted.head.state
    }

    /// An event of the current state, as the draft leaves it.
    pub fn state(&mut self, event_type: &str, key: &str) -> Result<Option<Event>, WriteError> {
        let state_key: StateKey = (event_type.to_owned(), key.to_owned());
        if let Some(event) = self.drafted.state.get(&state_key) {
            return Ok(event.clone());
        }
        if let Some(event) = self.drafted.known.state.get(&state_key) {
            return Ok(event.clone());
        }
        if self.drafted.known.head.is_none() {
            return Ok(None);
        }
        let event = self.stored_state(event_type, key)?;
        self.drafted.known.state.insert(state_key, event.clone());
        Ok(event)
    }

    /// Only right for places that this draft has not changed.
    fn stored_state(&self, event_type: &str, key: &str) -> Result<Option<Event>, WriteError> {
        let rows = self.rows()?;
        let head = self.drafted.known.head.as_ref().ok_or(WriteError::UnknownRoom)?;
        Ok(rows.state(head.state).event(event_type, key)?)
    }

    /// Builds an event of ours at the end of the room, if the room's rules allow it.
    pub fn append(
        &mut self,
        template: EventTemplate,
        sent_by: Option<SentBy>,
    ) -> Result<Arc<Pdu>, WriteError> {
        let (pdu, auth) = self.build(&template)?;
        let pdu = Arc::new(pdu);
        let before = self.root();
        let number = self.place(&pdu, Judged { sent_by, ..Judged::accepted(auth, before) })?;
        self.take_effect(number, &pdu)?;
        self.tell_retraction(number, &pdu)?;
        Ok(pdu)
    }

    /// Puts the create event that was built before into the room that is named by it.
    pub fn append_create(&mut self, create: &Arc<Pdu>) -> Result<(), WriteError> {
        self.place(create, Judged::accepted(Vec::new(), StateTree::EMPTY))?;
        Ok(())
    }

    /// Builds an event of ours as [`append`](Self::append) does, but leaves the room as it is: for
    /// events that another server must see first.
    pub fn build(
        &mut self,
        template: &EventTemplate,
    ) -> Result<(Pdu, Vec<EventNumber>), WriteError> {
        let (place, auth_events) = self.place_at_end(template)?;
        let auth = auth_events.iter().map(|event| event.number).collect();
        let Drafted { context, version, .. } = &self.drafted;
        let key = &context.signing_key.current();
        let pdu = build::build_and_sign(template, &place, *version, &context.server_name, key)?;
        self.check_against_current(&pdu)?;
        Ok((pdu, auth))
    }

    /// The event as others may propose or sign it: not signed by us. See `make_join` and its kin.
    pub fn place_at_end(
        &mut self,
        template: &EventTemplate,
    ) -> Result<(Place, Vec<Event>), WriteError> {
        let wanted = event_auth::auth_types(template, self.drafted.version)?;
        let mut auth_events = Vec::with_capacity(wanted.len());
        for (event_type, state_key) in &wanted {
            auth_events.extend(self.state(event_type, state_key)?);
        }
        // Since v12 the create event is implied and must not be listed.
        if self.drafted.version.room_id_is_create_hash() {
            auth_events.retain(|event| !event.pdu.is_at("m.room.create", ""));
        }
        let extremities = self.drafted.head.extremities.iter().rev().take(PREV_EVENTS_MAX);
        let prev_events = extremities.map(|e| event_id(&e.event_id)).collect::<Result<_, _>>()?;
        let auth_ids = auth_events.iter().map(|event| event.pdu.event_id.clone()).collect();
        let depth = self.drafted.head.depth + 1;
        Ok((Place { prev_events, auth_events: auth_ids, depth }, auth_events))
    }

    /// Whether the current state allows the event.
    pub fn check_against_current(&mut self, pdu: &Pdu) -> Result<(), WriteError> {
        let mut state: HashMap<StateKey, Arc<Pdu>> = HashMap::new();
        for (event_type, key) in event_auth::auth_types_of(pdu)? {
            if let Some(event) = self.state(&event_type, &key)? {
                state.insert((event_type, key), event.pdu);
            }
        }
        event_auth::check_against_state(pdu, |event_type, key| {
            state.get(&(event_type.to_owned(), key.to_owned())).cloned()
        })?;
        Ok(())
    }

    /// Stores an event at the end of the room's graph and, if it is accepted, in its timeline and
    /// current state.
    fn place(&mut self, pdu: &Arc<Pdu>, judged: Judged) -> Result<EventNumber, WriteError> {
        let Judged { number, auth, before, standing, redacted_by, sent_by } = judged;
        let number = number.unwrap_or_else(|| self.new_number());
        let accepted = standing == Standing::Accepted;
        let after = match pdu.type_and_key() {
            Some((event_type, key)) if standing != Standing::Rejected => {
                self.set_state(before, event_type, key, Entry::of(number, pdu))?
            }
            _ => before,
        };
        let index = u16::try_from(self.drafted.timeline.len()).unwrap_or(u16::MAX);
        let record = EventRecord {
            event_id: pdu.event_id.to_string(),
            standing,
            state_before: Some(before),
            state_after: Some(after),
            auth,
            place: if accepted { events::Place::Live(index) } else { events::Place::Nowhere },
            redacted_by,
            sent_by,
        };
        let event = self.store_event(Event { number, record, pdu: Arc::clone(pdu) });
        if accepted {
            let Drafted { batch, room, timeline, .. } = &mut self.drafted;
            events::append_to_timeline(batch, *room, index, number);
            let parent = relations::put(batch, *room, number, events::Place::Live(index), pdu);
            timeline.push(number);
            self.note_alteration(parent);
            self.advance(&event, after)?;
        }
        Ok(number)
    }

    /// The accepted event becomes an extremity, and the current state follows.
    fn advance(&mut self, event: &Event, after: NodeId) -> Result<(), WriteError> {
        let head = &mut self.drafted.head;
        head.extremities.retain(|extremity| {
            !event.pdu.prev_events.iter().any(|prev| prev.as_str() == extremity.event_id)
        });
        head.extremities.push(Extremity {
            number: event.number,
            event_id: event.pdu.event_id.to_string(),
            state: after,
        });
        head.depth = head.depth.max(event.pdu.depth);
        let before = head.state;
        let state = match &head.extremities[..] {
            [only] => only.state,
            several => {
                let roots: Vec<NodeId> = several.iter().map(|extremity| extremity.state).collect();
                self.resolve(&roots)?
            }
        };
        self.drafted.head.state = state;
        if state != before {
            self.follow_state(before, state, event)?;
        }
        if event.pdu.prev_events.len() > 1 {
            self.end_lost_stays(event)?;
        }
        Ok(())
    }

    /// Writes the event's row; from now on the draft knows it.
    fn store_event(&mut self, event: Event) -> Event {
        let drafted = &mut self.drafted;
        let Event { number, record, pdu } = &event;
        events::put(&mut drafted.batch, drafted.room, *number, record, pdu.record());
        drafted.stored_ids.insert(pdu.event_id.clone(), *number);
        drafted.stored.insert(*number, event.clone());
        let known = drafted.known.head.as_ref().map_or(0, |head| head.next_event);
        let is_known = number.0 < known;
        self.note_alteration(is_known.then(|| event.pdu.event_id.clone()));
        event
    }

    /// See [`Change::EventAltered`].
    fn note_alteration(&mut self, event_id: Option<OwnedEventId>) {
        let room = self.drafted.room;
        let change =
            |event_id: OwnedEventId| Change::EventAltered { room, event_id: event_id.into() };
        self.drafted.changes.extend(event_id.map(change));
    }

    fn new_number(&mut self) -> EventNumber {
        let number = EventNumber(self.drafted.head.next_event);
        self.drafted.head.next_event += 1;
        number
    }

    /// The root of the state `root` with one entry replaced; its nodes are part of the draft.
    fn set_state(
        &mut self,
        root: NodeId,
        event_type: &str,
        key: &str,
        entry: Entry,
    ) -> Result<NodeId, WriteError> {
        let tree = StateTree::new(self.drafted.context.state_salt);
        let (root, nodes) = tree.set(&*self, root, event_type, key, entry)?;
        self.keep_nodes(nodes);
        Ok(root)
    }

    fn keep_nodes(&mut self, nodes: impl IntoIterator<Item = (NodeId, Bytes)>) {
        let Drafted { batch, room, nodes: kept, .. } = &mut self.drafted;
        for (id, node) in nodes {
            store::state::put_node(batch, *room, &id, node.clone());
            kept.insert(id, node);
        }
    }
}

impl NodeReader for Draft<'_> {
    type Error = WriteError;

    fn node(&self, id: &NodeId) -> Result<Bytes, WriteError> {
        match self.drafted.nodes.get(id) {
            Some(node) => Ok(node.clone()),
            None => Ok(self.rows()?.node(id)?),
        }
    }

    fn damaged(&self, _: &NodeId) -> WriteError {
        corrupt("state node").into()
    }
}

impl RoomEvents for Draft<'_> {
    fn room_event(&self, number: EventNumber) -> Result<RoomEvent, WriteError> {
        let Event { number, record, pdu } = self.event(number)?;
        Ok(RoomEvent { number, pdu, auth: record.auth })
    }
}

impl Drafted {
    /// What the writer knows from now on, and what there is to commit.
    pub fn finish(mut self) -> (Known, Option<(Batch, Vec<Change>)>) {
        let room = self.room;
        if !self.timeline.is_empty() {
            self.changes.insert(0, Change::Events { room, events: self.timeline });
        }
        let head_before = self.known.head.take();
        let moved =
            head_before.as_ref() != Some(&self.head) && (self.noted || self.head.next_event > 1);
        if self.batch.ops.is_empty() && !moved {
            self.known.head = head_before;
            return (self.known, None);
        }
        store::rooms::require_head(&mut self.batch, room, head_before.as_ref());
        if !moved {
            self.known.head = head_before;
            self.known.servers.extend(self.servers);
            return (self.known, Some((self.batch, self.changes)));
        }
        store::rooms::put_head(&mut self.batch, room, &self.head);
        if head_before.as_ref().is_none_or(|head| head.state != self.head.state) {
            room_states::put(&mut self.batch, room, &self.head.state);
        }
        if head_before.is_none() {
            let room_id = ruma::RoomId::parse(self.head.room_id.as_str());
            let room_id = room_id.expect("the head was made from a room id");
            store::rooms::put_number(&mut self.batch, &room_id, room);
            store::homeserver::raise_next_room(&mut self.batch, room.0 + 1);
        }
        self.known.head = Some(self.head);
        self.known.state.extend(self.state);
        self.known.servers.extend(self.servers);
        (self.known, Some((self.batch, self.changes)))
    }

    /// Lets a room be known by its number and version only, without any event of it.
    pub fn note_room(&mut self) {
        self.noted = true;
    }

    /// What the writer knew before.
    pub fn abandon(self) -> Known {
        self.known
    }
}

fn event_id(id: &str) -> Result<OwnedEventId, StoreError> {
    OwnedEventId::try_from(id).map_err(|_| corrupt("event id"))
}

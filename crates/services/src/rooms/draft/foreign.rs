//! Events of other servers in a draft: judged by their own past first, then by the room's present.

use std::{collections::HashMap, sync::Arc};

use model::{
    EventNumber, event_auth,
    pdu::Pdu,
    redact, state_res,
    state_tree::{Entry, NodeId, StateTree},
};
use ruma::{EventId, OwnedEventId};
use store::{
    events::{self, EventRecord, Order, Place, Standing},
    relations,
    value::corrupt,
};

use super::{Draft, Judged, WriteError};
use crate::room_rows::Event;

/// Where an accepted event of another server goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is new: it goes to the end of the timeline, if the present allows it.
    New,
    /// It is history: it goes to this order before everything else.
    Backfilled(i64),
}

impl Draft<'_> {
    /// Judges and stores an event whose auth events are all stored, at the state `before`.
    pub fn accept(
        &mut self,
        pdu: &Arc<Pdu>,
        before: NodeId,
        arrival: Arrival,
    ) -> Result<Standing, WriteError> {
        let auth = self.auth_numbers(pdu)?;
        let standing = if self.is_rejected(pdu, before)? {
            Standing::Rejected
        } else if arrival == Arrival::New && self.is_soft_failed(pdu)? {
            Standing::SoftFailed
        } else {
            Standing::Accepted
        };
        let known = self.event_by_id(&pdu.event_id)?.map(|event| event.number);
        let redaction = self.waiting_redaction(pdu)?;
        let redacted = match &redaction {
            Some(_) => Arc::new(redact::redact(pdu).map_err(|_| corrupt("redacted event"))?),
            None => Arc::clone(pdu),
        };
        let redacted_by = redaction.map(|redaction| redaction.number);
        let judged =
            Judged { number: known, standing, redacted_by, ..Judged::accepted(auth, before) };
        let number = match arrival {
            Arrival::New => self.place(&redacted, judged)?,
            Arrival::Backfilled(order) => self.prepend(&redacted, judged, order)?,
        };
        if standing == Standing::Accepted {
            self.take_effect(number, pdu)?;
        }
        Ok(standing)
    }

    /// Steps 4 and 5 of the checks on receipt of a PDU (server-server API): by its auth events, and
    /// by the state before it.
    fn is_rejected(&mut self, pdu: &Arc<Pdu>, before: NodeId) -> Result<bool, WriteError> {
        if self.fails_by_auth_events(pdu)? {
            return Ok(true);
        }
        let allowed = self.check_against(pdu, before)?;
        if let Err(reason) = &allowed {
            tracing::info!(event_id = %pdu.event_id, %reason, "event rejected by the state before it");
        }
        Ok(allowed.is_err())
    }

    /// Step 6: an event that the room's present forbids is kept from clients and from the room's
    /// extremities.
    fn is_soft_failed(&mut self, pdu: &Arc<Pdu>) -> Result<bool, WriteError> {
        match self.check_against_current(pdu) {
            Ok(()) => Ok(false),
            Err(WriteError::Forbidden(reason)) => {
                tracing::info!(event_id = %pdu.event_id, %reason, "event soft-failed");
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn fails_by_auth_events(&mut self, pdu: &Arc<Pdu>) -> Result<bool, WriteError> {
        let mut auth_events = Vec::with_capacity(pdu.auth_events.len() + 1);
        for event_id in &pdu.auth_events {
            let event = self.event_by_id(event_id)?.ok_or_else(|| corrupt("auth event"))?;
            auth_events.push(event.pdu);
        }
        if pdu.room_version.room_id_is_create_hash() && !pdu.is_at("m.room.create", "") {
            auth_events.extend(self.create_event()?);
        }
        let allowed = event_auth::check_against_auth_events(pdu, &auth_events);
        if let Err(reason) = &allowed {
            tracing::info!(event_id = %pdu.event_id, %reason, "event rejected by its auth events");
        }
        Ok(allowed.is_err())
    }

    /// The create event, which names the room since version 12. Also of a room that is only being
    /// imported.
    fn create_event(&self) -> Result<Option<Arc<Pdu>>, WriteError> {
        let hash = self.drafted.room_id.as_str().trim_start_matches('!');
        let Ok(create) = EventId::parse(format!("${hash}")) else { return Ok(None) };
        Ok(self.event_by_id(&create)?.map(|event| event.pdu))
    }

    /// Whether the state `root` allows the event.
    fn check_against(
        &mut self,
        pdu: &Pdu,
        root: NodeId,
    ) -> Result<Result<(), event_auth::AuthError>, WriteError> {
        let tree = StateTree::new(self.drafted.context.state_salt);
        let mut state: HashMap<(String, String), Arc<Pdu>> = HashMap::new();
        for (event_type, key) in event_auth::auth_types_of(pdu)? {
            if let Some(entry) = tree.get(&*self, root, &event_type, &key)? {
                let event = self.event(entry.event)?;
                state.insert((event_type, key), event.pdu);
            }
        }
        Ok(event_auth::check_against_state(pdu, |event_type, key| {
            state.get(&(event_type.to_owned(), key.to_owned())).cloned()
        }))
    }

    /// Fails unless the state `root` allows the event.
    pub fn require_allowed(&mut self, pdu: &Pdu, root: NodeId) -> Result<(), WriteError> {
        Ok(self.check_against(pdu, root)??)
    }

    /// Stores an event that is only part of an auth chain or of a state.
    pub fn put_outlier(&mut self, pdu: &Arc<Pdu>) -> Result<EventNumber, WriteError> {
        if let Some(event) = self.event_by_id(&pdu.event_id)? {
            return Ok(event.number);
        }
        let auth = self.auth_numbers(pdu)?;
        let is_create = pdu.is_at("m.room.create", "");
        if pdu.room_version.room_id_is_create_hash() && !is_create && self.create_event()?.is_none()
        {
            return Err(WriteError::MissingAuthEvent);
        }
        let rejected = self.fails_by_auth_events(pdu)?;
        let record = EventRecord {
            event_id: pdu.event_id.to_string(),
            standing: if rejected { Standing::Rejected } else { Standing::Outlier },
            state_before: None,
            state_after: None,
            auth,
            place: Place::Nowhere,
            redacted_by: None,
            sent_by: None,
        };
        let number = self.new_number();
        self.store_event(Event { number, record, pdu: Arc::clone(pdu) });
        Ok(number)
    }

    fn prepend(
        &mut self,
        pdu: &Arc<Pdu>,
        judged: Judged,
        order: i64,
    ) -> Result<EventNumber, WriteError> {
        let Judged { number, auth, before, standing, redacted_by, sent_by } = judged;
        let number = number.unwrap_or_else(|| self.new_number());
        let after = match pdu.type_and_key() {
            Some((event_type, key)) if standing != Standing::Rejected => {
                self.set_state(before, event_type, key, Entry::of(number, pdu))?
            }
            _ => before,
        };
        let accepted = standing == Standing::Accepted;
        let record = EventRecord {
            event_id: pdu.event_id.to_string(),
            standing,
            state_before: Some(before),
            state_after: Some(after),
            auth,
            place: if accepted { Place::At(Order(order, 0)) } else { Place::Nowhere },
            redacted_by,
            sent_by,
        };
        self.store_event(Event { number, record, pdu: Arc::clone(pdu) });
        if accepted {
            let Draft { drafted, .. } = self;
            events::prepend_to_timeline(&mut drafted.batch, drafted.room, order, number);
            let place = Place::At(Order(order, 0));
            let parent = relations::put(&mut drafted.batch, drafted.room, number, place, pdu);
            drafted.head.next_backfill = drafted.head.next_backfill.min(order - 1);
            self.note_alteration(parent);
        }
        Ok(number)
    }

    fn auth_numbers(&mut self, pdu: &Pdu) -> Result<Vec<EventNumber>, WriteError> {
        let mut numbers = Vec::with_capacity(pdu.auth_events.len());
        for event_id in &pdu.auth_events {
            let event = self.event_by_id(event_id)?.ok_or(WriteError::MissingAuthEvent)?;
            numbers.push(event.number);
        }
        Ok(numbers)
    }

    /// The root of the state that consists of these events.
    pub fn build_state(&mut self, events: &[EventNumber]) -> Result<NodeId, WriteError> {
        let mut entries = Vec::with_capacity(events.len());
        for number in events {
            let event = self.event(*number)?;
            if let Some((event_type, key)) = event.pdu.type_and_key() {
                let entry = Entry::of(*number, &event.pdu);
                entries.push((event_type.to_owned(), key.to_owned(), entry));
            }
        }
        let tree = StateTree::new(self.drafted.context.state_salt);
        let (root, nodes) = tree.build(entries);
        self.keep_nodes(nodes);
        Ok(root)
    }

    /// The room begins anew for us: with this join of ours, on the state `before` that a resident
    /// server told us.
    pub fn restart_at(&mut self, join: &Arc<Pdu>, before: NodeId) -> Result<(), WriteError> {
        if !self.drafted.head.extremities.is_empty() {
            self.drafted.head.extremities.clear();
            self.drafted.changes.push(store::log::Change::RoomState { room: self.drafted.room });
        }
        let auth = self.auth_numbers(join)?;
        let number = self.event_by_id(&join.event_id)?.map(|event| event.number);
        self.place(join, Judged { number, ..Judged::accepted(auth, before) })?;
        Ok(())
    }

    /// The state before an event, from the states after the events that it follows.
    pub fn state_after_all(
        &mut self,
        events: &[OwnedEventId],
    ) -> Result<Option<NodeId>, WriteError> {
        let mut roots = Vec::with_capacity(events.len());
        for event_id in events {
            let event = self.event_by_id(event_id)?;
            let Some(root) = event.and_then(|event| event.record.state_after) else {
                return Ok(None);
            };
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        Ok(match &roots[..] {
            [] => None,
            [only] => Some(*only),
            several => Some(self.resolve(several)?),
        })
    }

    /// State resolution over several states of the room.
    pub fn resolve(&mut self, roots: &[NodeId]) -> Result<NodeId, WriteError> {
        let mut roots = roots.to_vec();
        roots.sort_unstable();
        roots.dedup();
        if let [only] = roots[..] {
            return Ok(only);
        }
        let tree = StateTree::new(self.drafted.context.state_salt);
        let version = self.drafted.version;
        let resolved = state_res::resolve(version, &tree, &roots, &*self)?;
        self.keep_nodes(resolved.nodes);
        Ok(resolved.root)
    }

    /// [`build_state`](Self::build_state) of stored events by their ids; unknown and rejected ones are
    /// left out.
    pub fn build_state_of(&mut self, events: &[OwnedEventId]) -> Result<NodeId, WriteError> {
        let mut numbers = Vec::with_capacity(events.len());
        for event_id in events {
            let event = self.event_by_id(event_id)?;
            let event = event.filter(|event| event.record.standing != Standing::Rejected);
            numbers.extend(event.map(|event| event.number));
        }
        self.build_state(&numbers)
    }

    pub fn is_known(&mut self, event_id: &EventId) -> Result<bool, WriteError> {
        let event = self.event_by_id(event_id)?;
        Ok(event.is_some_and(|event| event.record.standing != Standing::Outlier))
    }
}

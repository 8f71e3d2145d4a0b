//! What relates to an event, bundled with it.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events>.

use std::collections::HashMap;

use kv::StoreError;
use model::EventNumber;
use ruma::{EventId, OwnedEventId};
use serde::Serialize;
use serde_json::value::RawValue;
use store::{
    events::Order,
    relations::{self, REFERENCE, REPLACE, Relation, THREAD},
    value::corrupt,
};

use super::RoomView;
use crate::{
    client_event::{ClientEvent, EventFormat, EventView, Unsigned, raw},
    filter::EventFilter,
};

/// Replacements that are looked at to find the newest valid one.
const EDITS_MAX: usize = 32;
/// Replies that are looked at to find the newest visible one.
const REPLIES_MAX: usize = 16;
/// References that are listed.
const REFERENCES_MAX: usize = 64;

#[derive(Default, Serialize)]
struct Bundle {
    #[serde(rename = "m.reference", skip_serializing_if = "Option::is_none")]
    reference: Option<References>,
    #[serde(rename = "m.replace", skip_serializing_if = "Option::is_none")]
    replace: Option<Box<RawValue>>,
    #[serde(rename = "m.thread", skip_serializing_if = "Option::is_none")]
    thread: Option<Thread>,
}

#[derive(Serialize)]
struct References {
    chunk: Vec<Reference>,
}

#[derive(Serialize)]
struct Reference {
    event_id: String,
}

#[derive(Serialize)]
struct Thread {
    count: u64,
    current_user_participated: bool,
    latest_event: Box<RawValue>,
}

impl RoomView<'_> {
    /// For each event that something relates to, what to bundle with it.
    pub(super) fn bundles(
        &self,
        events: &[ClientEvent],
    ) -> Result<HashMap<EventNumber, Box<RawValue>>, StoreError> {
        self.look_for_bundles(events)?;
        let mut bundles = HashMap::new();
        for event in events.iter().filter(|event| event.has_bundle() == Some(true)) {
            let view = &EventView::read(event)?;
            let id = <&EventId>::try_from(view.event_id()).map_err(|_| corrupt("event id"))?;
            let bundle = Bundle {
                reference: self.references(id)?,
                replace: self.newest_edit(view, id)?,
                thread: self.thread(view, id)?,
            };
            let Bundle { reference: None, replace: None, thread: None } = bundle else {
                bundles.insert(event.number, raw(&bundle));
                continue;
            };
        }
        Ok(bundles)
    }

    /// Finds out of which of the events there may be something to bundle; one round trip.
    fn look_for_bundles(&self, events: &[ClientEvent]) -> Result<(), StoreError> {
        let mut messages = Vec::new();
        for event in events.iter().filter(|event| event.has_bundle().is_none()) {
            match event.is_state()? {
                true => event.set_has_bundle(false),
                false => messages.push(event),
            }
        }
        if messages.is_empty() {
            return Ok(());
        }
        let ids = messages.iter().map(|event| event.record.event_id.as_str());
        let found = relations::bundled(self.rows.snapshot, self.rows.room, ids)?;
        messages.iter().zip(found).for_each(|(event, found)| event.set_has_bundle(found));
        Ok(())
    }

    /// "The most recent replacement" of an event: by its time, then by its id.
    fn newest_edit(
        &self,
        original: &EventView<'_>,
        id: &EventId,
    ) -> Result<Option<Box<RawValue>>, StoreError> {
        if original.stored.record.redacted_by.is_some() {
            return Ok(None);
        }
        let edits = self.children(id, REPLACE, EDITS_MAX)?;
        let edits = edits.iter().map(EventView::read).collect::<Result<Vec<_>, _>>()?;
        let newest = edits
            .iter()
            .filter(|edit| edit.sender == original.sender)
            .filter(|edit| edit.event_type == original.event_type && edit.state_key.is_none())
            .max_by_key(|edit| (edit.origin_server_ts, edit.event_id()));
        newest.map(|edit| self.render_bare(edit, None)).transpose()
    }

    fn thread(&self, root: &EventView<'_>, id: &EventId) -> Result<Option<Thread>, StoreError> {
        let Some(latest) = self.children(id, THREAD, REPLIES_MAX)?.into_iter().next() else {
            return Ok(None);
        };
        let latest = EventView::read(&latest)?;
        let replace = match <&EventId>::try_from(latest.event_id()) {
            Ok(id) => self.newest_edit(&latest, id)?,
            Err(_) => None,
        };
        let bundle = replace.map(|edit| raw(&Bundle { replace: Some(edit), ..Bundle::default() }));
        let counts = relations::counts(self.rows.snapshot, self.rows.room, id)?;
        let replies = counts.into_iter().find(|(rel_type, _)| rel_type == THREAD);
        Ok(Some(Thread {
            count: replies.map_or(1, |(_, count)| count.max(1)),
            current_user_participated: self.participates(root, id)?,
            latest_event: self.render_bare(&latest, bundle)?,
        }))
    }

    /// "Whether the current logged in user has participated in the thread": sent its root or a
    /// reply.
    pub(crate) fn participates(
        &self,
        root: &EventView<'_>,
        id: &EventId,
    ) -> Result<bool, StoreError> {
        let user = &self.reader.user;
        Ok(*user == *root.sender
            || relations::participates(self.rows.snapshot, self.rows.room, id, user)?)
    }

    fn references(&self, id: &EventId) -> Result<Option<References>, StoreError> {
        let references = self.children(id, REFERENCE, REFERENCES_MAX)?.into_iter().rev();
        let chunk: Vec<Reference> =
            references.map(|event| Reference { event_id: event.record.event_id.clone() }).collect();
        Ok((!chunk.is_empty()).then_some(References { chunk }))
    }

    /// The newest children of one relation type that the reader may see, newest first.
    fn children(
        &self,
        parent: &EventId,
        rel_type: &str,
        limit: usize,
    ) -> Result<Vec<ClientEvent>, StoreError> {
        let relation =
            Relation { parent: OwnedEventId::from(parent), rel_type: rel_type.to_owned() };
        let (snapshot, room) = (self.rows.snapshot, self.rows.room);
        let everything = (Order::MIN, Order::MAX);
        let children = relations::list(snapshot, room, &relation, everything, true, limit)?;
        let numbers: Vec<EventNumber> = children.iter().map(|child| child.number).collect();
        let mut visible = Vec::with_capacity(numbers.len());
        for event in self.stored_all(&numbers)? {
            if event.record.redacted_by.is_none() && self.shows(&event, &EventFilter::default())? {
                visible.push(event);
            }
        }
        Ok(visible)
    }

    fn render_bare(
        &self,
        view: &EventView<'_>,
        relations: Option<Box<RawValue>>,
    ) -> Result<Box<RawValue>, StoreError> {
        let age = Some(self.now_ms.saturating_sub(view.origin_server_ts));
        let unsigned = Unsigned { age, relations, ..Unsigned::default() };
        view.stored.to_json(&self.room_id, EventFormat::Full, Some(&unsigned))
    }
}

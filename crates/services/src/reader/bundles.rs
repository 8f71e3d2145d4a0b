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
    events::{Order, StoredEvent},
    relations::{self, REFERENCE, REPLACE, Relation, THREAD},
};

use super::RoomView;
use crate::{
    client_event::{EventFormat, EventView, Unsigned, raw},
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
        views: &[EventView<'_>],
    ) -> Result<HashMap<EventNumber, Box<RawValue>>, StoreError> {
        let parents: Vec<(&EventView<'_>, &EventId)> = views
            .iter()
            .filter(|view| view.state_key.is_none())
            .filter_map(|view| Some((view, <&EventId>::try_from(view.event_id()).ok()?)))
            .collect();
        let ids = parents.iter().map(|(_, id)| *id);
        let related = relations::bundled(self.rows.snapshot, self.rows.room, ids)?;
        let mut bundles = HashMap::new();
        for ((view, id), _) in parents.iter().zip(related).filter(|(_, related)| *related) {
            let bundle = Bundle {
                reference: self.references(id)?,
                replace: self.newest_edit(view, id)?,
                thread: self.thread(view, id)?,
            };
            let Bundle { reference: None, replace: None, thread: None } = bundle else {
                bundles.insert(view.stored.number, raw(&bundle));
                continue;
            };
        }
        Ok(bundles)
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
        Ok(newest.map(|edit| self.render_bare(edit, None)))
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
            latest_event: self.render_bare(&latest, bundle),
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
            references.map(|event| Reference { event_id: event.record.event_id }).collect();
        Ok((!chunk.is_empty()).then_some(References { chunk }))
    }

    /// The newest children of one relation type that the reader may see, newest first.
    fn children(
        &self,
        parent: &EventId,
        rel_type: &str,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
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

    fn render_bare(&self, view: &EventView<'_>, relations: Option<Box<RawValue>>) -> Box<RawValue> {
        let age = Some(self.now_ms.saturating_sub(view.origin_server_ts));
        let unsigned = Unsigned { age, relations, ..Unsigned::default() };
        view.to_json(&self.room_id, EventFormat::Full, Some(&unsigned))
    }
}

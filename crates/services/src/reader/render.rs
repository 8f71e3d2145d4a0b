//! Events as their reader is shown them: with what `unsigned` tells him.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#definition-clientevent>.

use std::collections::HashMap;

use kv::StoreError;
use model::{EventNumber, membership::Membership};
use serde_json::value::RawValue;
use store::events::StoredEvent;

use super::RoomView;
use crate::client_event::{EventFormat, EventView, Unsigned};

/// What is shown beside an event of a list, fetched for the whole list.
struct Beside {
    /// For each state event, the event that it replaced.
    replaced: HashMap<EventNumber, StoredEvent>,
    /// For each redacted event, its redaction.
    redactions: HashMap<EventNumber, StoredEvent>,
    bundles: HashMap<EventNumber, Box<RawValue>>,
}

impl RoomView<'_> {
    /// The events as the reader is shown them. The caller has made sure that he may see them.
    pub fn render(
        &self,
        events: &[StoredEvent],
        format: EventFormat,
    ) -> Result<Vec<Box<RawValue>>, StoreError> {
        let views = events.iter().map(EventView::read).collect::<Result<Vec<_>, _>>()?;
        let beside = self.beside(&views)?;
        views
            .iter()
            .map(|view| {
                let membership = self.oracle.membership_at(view.stored)?;
                self.render_one(view, format, membership, &beside)
            })
            .collect()
    }

    /// Events of the room's state, which are shown without their history: what they replaced, what
    /// relates to them, and what the reader was to the room then ("they MAY omit it if necessary
    /// (for example, if calculating the value is expensive"): each stands on a state of its own).
    pub fn render_state(
        &self,
        events: &[StoredEvent],
        format: EventFormat,
    ) -> Result<Vec<Box<RawValue>>, StoreError> {
        let views = events.iter().map(EventView::read).collect::<Result<Vec<_>, _>>()?;
        let redactions = self.redactions(&views)?;
        let beside = Beside { replaced: HashMap::new(), redactions, bundles: HashMap::new() };
        views.iter().map(|view| self.render_one(view, format, None, &beside)).collect()
    }

    fn render_one(
        &self,
        view: &EventView<'_>,
        format: EventFormat,
        membership: Option<Membership>,
        beside: &Beside,
    ) -> Result<Box<RawValue>, StoreError> {
        if format == EventFormat::Federation {
            return Ok(view.to_json(&self.room_id, format, None));
        }
        let number = view.stored.number;
        let mut unsigned = Unsigned {
            age: Some(self.now_ms.saturating_sub(view.origin_server_ts)),
            membership: membership.map(membership_word),
            transaction_id: self.transaction_id(view),
            ..Unsigned::default()
        };
        if let Some(replaced) = beside.replaced.get(&number) {
            let replaced = EventView::read(replaced)?;
            unsigned.replaces_state = Some(replaced.event_id().to_owned());
            unsigned.prev_content = Some(replaced.content.to_raw());
            unsigned.prev_sender = Some(replaced.sender.into_owned());
        }
        if let Some(redaction) = beside.redactions.get(&number) {
            let redaction = EventView::read(redaction)?;
            unsigned.redacted_because = Some(redaction.to_json(&self.room_id, format, None));
        }
        unsigned.relations = beside.bundles.get(&number).cloned();
        Ok(view.to_json(&self.room_id, format, Some(&unsigned)))
    }

    /// The transaction id of an event, for the device that sent it and no other.
    fn transaction_id<'v>(&self, view: &EventView<'v>) -> Option<&'v str> {
        let sent_by = view.stored.record.sent_by.as_ref()?;
        let device = self.reader.device.as_deref()?;
        let same = device == sent_by.device_id.as_str() && self.reader.user == *view.sender;
        same.then_some(sent_by.transaction_id.as_str())
    }

    fn beside(&self, views: &[EventView<'_>]) -> Result<Beside, StoreError> {
        Ok(Beside {
            replaced: self.replaced(views)?,
            redactions: self.redactions(views)?,
            bundles: self.bundles(views)?,
        })
    }

    fn replaced(
        &self,
        views: &[EventView<'_>],
    ) -> Result<HashMap<EventNumber, StoredEvent>, StoreError> {
        let mut of = Vec::new();
        let mut wanted = Vec::new();
        for view in views {
            let (Some(key), Some(before)) = (&view.state_key, view.stored.record.state_before)
            else {
                continue;
            };
            if let Some(entry) = self.rows.state(before).entry(&view.event_type, key)? {
                of.push(view.stored.number);
                wanted.push(entry.event);
            }
        }
        Ok(of.into_iter().zip(self.stored_all(&wanted)?).collect())
    }

    fn redactions(
        &self,
        views: &[EventView<'_>],
    ) -> Result<HashMap<EventNumber, StoredEvent>, StoreError> {
        let redacted = views
            .iter()
            .filter_map(|view| Some((view.stored.number, view.stored.record.redacted_by?)));
        let (of, wanted): (Vec<_>, Vec<_>) = redacted.unzip();
        Ok(of.into_iter().zip(self.stored_all(&wanted)?).collect())
    }
}

pub(crate) fn membership_word(membership: Membership) -> &'static str {
    match membership {
        Membership::Join => "join",
        Membership::Invite => "invite",
        Membership::Knock => "knock",
        Membership::Leave => "leave",
        Membership::Ban => "ban",
    }
}

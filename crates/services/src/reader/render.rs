//! Events as their reader is shown them: with what `unsigned` tells him.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#definition-clientevent>.

use std::collections::HashMap;

use kv::StoreError;
use model::{EventNumber, canonical_json::RawArray, membership::Membership};
use serde_json::value::RawValue;

use super::RoomView;
use crate::client_event::{ClientEvent, EventFormat, EventView, Unsigned};

/// What is shown beside an event of a list, fetched for the whole list.
struct Beside {
    /// For each state event, the event that it replaced.
    replaced: HashMap<EventNumber, ClientEvent>,
    /// For each redacted event, its redaction.
    redactions: HashMap<EventNumber, ClientEvent>,
    bundles: HashMap<EventNumber, Box<RawValue>>,
}

impl RoomView<'_> {
    /// The events as the reader is shown them. The caller has made sure that he may see them.
    pub fn render(
        &self,
        events: &[ClientEvent],
        format: EventFormat,
    ) -> Result<Vec<Box<RawValue>>, StoreError> {
        let beside = self.beside(events)?;
        let shown = events.iter().map(|event| {
            let membership = self.oracle.membership_at(event)?;
            self.render_one(event, format, membership, &beside)
        });
        shown.collect()
    }

    /// [`render`](Self::render) in the full format, as one piece of JSON.
    pub fn render_list(&self, events: &[ClientEvent]) -> Result<Box<RawValue>, StoreError> {
        let beside = self.beside(events)?;
        let bytes = events.iter().map(ClientEvent::json_bytes).sum::<Result<usize, _>>()?;
        let mut list = RawArray::with_capacity(bytes);
        for event in events {
            let membership = self.oracle.membership_at(event)?;
            let unsigned = self.unsigned(event, EventFormat::Full, membership, &beside)?;
            event.put_into(&mut list, &self.room_id, &unsigned)?;
        }
        Ok(list.finish())
    }

    /// Events of the room's state, which are shown without their history: what they replaced, what
    /// relates to them, and what the reader was to the room then ("they MAY omit it if necessary
    /// (for example, if calculating the value is expensive"): each stands on a state of its own).
    pub fn render_state(
        &self,
        events: &[ClientEvent],
        format: EventFormat,
    ) -> Result<Vec<Box<RawValue>>, StoreError> {
        let redactions = self.redactions(events)?;
        let beside = Beside { replaced: HashMap::new(), redactions, bundles: HashMap::new() };
        events.iter().map(|event| self.render_one(event, format, None, &beside)).collect()
    }

    fn render_one(
        &self,
        event: &ClientEvent,
        format: EventFormat,
        membership: Option<Membership>,
        beside: &Beside,
    ) -> Result<Box<RawValue>, StoreError> {
        if format == EventFormat::Federation {
            return event.to_json(&self.room_id, format, None);
        }
        let unsigned = self.unsigned(event, format, membership, beside)?;
        event.to_json(&self.room_id, format, Some(&unsigned))
    }

    fn unsigned<'e>(
        &self,
        event: &'e ClientEvent,
        format: EventFormat,
        membership: Option<Membership>,
        beside: &Beside,
    ) -> Result<Unsigned<'e>, StoreError> {
        let mut unsigned = Unsigned {
            age: Some(self.now_ms.saturating_sub(event.origin_server_ts()?)),
            membership: membership.map(membership_word),
            transaction_id: self.transaction_id(event)?,
            ..Unsigned::default()
        };
        if let Some(replaced) = beside.replaced.get(&event.number) {
            let replaced = EventView::read(replaced)?;
            unsigned.replaces_state = Some(replaced.event_id().to_owned());
            unsigned.prev_content = Some(replaced.content.to_raw());
            unsigned.prev_sender = Some(replaced.sender.into_owned());
        }
        if let Some(redaction) = beside.redactions.get(&event.number) {
            unsigned.redacted_because = Some(redaction.to_json(&self.room_id, format, None)?);
        }
        unsigned.relations = beside.bundles.get(&event.number).cloned();
        Ok(unsigned)
    }

    /// The transaction id of an event, for the device that sent it and no other.
    fn transaction_id<'e>(&self, event: &'e ClientEvent) -> Result<Option<&'e str>, StoreError> {
        let Some(sent_by) = &event.record.sent_by else { return Ok(None) };
        let is_his = self
            .reader
            .device
            .as_deref()
            .is_some_and(|device| device == sent_by.device_id.as_str())
            && self.reader.user == *EventView::read(event)?.sender;
        Ok(is_his.then_some(sent_by.transaction_id.as_str()))
    }

    fn beside(&self, events: &[ClientEvent]) -> Result<Beside, StoreError> {
        Ok(Beside {
            replaced: self.replaced(events)?,
            redactions: self.redactions(events)?,
            bundles: self.bundles(events)?,
        })
    }

    fn replaced(
        &self,
        events: &[ClientEvent],
    ) -> Result<HashMap<EventNumber, ClientEvent>, StoreError> {
        let mut of = Vec::new();
        let mut wanted = Vec::new();
        for event in events {
            let Some(before) = event.record.state_before else { continue };
            if !event.is_state()? {
                continue;
            }
            let view = EventView::read(event)?;
            let Some(key) = &view.state_key else { continue };
            if let Some(entry) = self.rows.state(before).entry(&view.event_type, key)? {
                of.push(event.number);
                wanted.push(entry.event);
            }
        }
        Ok(of.into_iter().zip(self.stored_all(&wanted)?).collect())
    }

    fn redactions(
        &self,
        events: &[ClientEvent],
    ) -> Result<HashMap<EventNumber, ClientEvent>, StoreError> {
        let redacted =
            events.iter().filter_map(|event| Some((event.number, event.record.redacted_by?)));
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

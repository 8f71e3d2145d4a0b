//! State that goes with a page of a timeline, so that it can be shown.

use std::collections::BTreeSet;

use kv::StoreError;
use model::{
    EventNumber,
    state_tree::{NodeId, StateTree},
};
use serde_json::value::RawValue;

use super::RoomView;
use crate::{
    client_event::{ClientEvent, EventFormat, EventView},
    filter::EventFilter,
};

const MEMBER: &str = "m.room.member";

impl RoomView<'_> {
    /// With lazy loading: the members who sent the events of a page.
    pub fn senders(
        &self,
        events: &[ClientEvent],
        filter: &EventFilter,
    ) -> Result<Vec<Box<RawValue>>, StoreError> {
        let root =
            events.iter().filter_map(|event| Some((event.order()?, event.record.state_after?)));
        let Some((_, root)) = root.max_by_key(|(order, _)| *order) else { return Ok(Vec::new()) };
        if !filter.lazy_load_members {
            return Ok(Vec::new());
        }
        let numbers = self.senders_at(root, events)?;
        self.render_state(&self.stored_all(&numbers)?, EventFormat::Full)
    }

    /// The state just after `last`, as the filter wants it; with lazy loading, of the members only
    /// those who sent `shown`.
    pub fn state_around(
        &self,
        last: &ClientEvent,
        shown: &[ClientEvent],
        filter: &EventFilter,
    ) -> Result<Vec<Box<RawValue>>, StoreError> {
        let Some(root) = last.record.state_after else { return Ok(Vec::new()) };
        let mut numbers = match filter.lazy_load_members {
            true => self.senders_at(root, shown)?,
            false => Vec::new(),
        };
        for item in StateTree::new(self.rows.salt).entries(&self.rows, root) {
            let item = item?;
            let lazy = filter.lazy_load_members && item.event_type == MEMBER;
            if !lazy && filter.wants_type(&item.event_type) {
                numbers.push(item.entry.event);
            }
        }
        numbers.sort_unstable();
        let mut wanted = Vec::with_capacity(numbers.len());
        for event in self.stored_all(&numbers)? {
            if filter.wants(&EventView::read(&event)?) {
                wanted.push(event);
            }
        }
        self.render_state(&wanted, EventFormat::Full)
    }

    fn senders_at(
        &self,
        root: NodeId,
        events: &[ClientEvent],
    ) -> Result<Vec<EventNumber>, StoreError> {
        let mut senders = BTreeSet::new();
        for event in events {
            senders.insert(EventView::read(event)?.sender.into_owned());
        }
        let mut numbers = Vec::with_capacity(senders.len());
        for sender in senders {
            let entry = self.rows.state(root).entry(MEMBER, &sender)?;
            numbers.extend(entry.map(|entry| entry.event));
        }
        Ok(numbers)
    }
}

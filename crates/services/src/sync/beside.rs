//! What an answer has of a room besides its events: account data, receipts, typing, unread counts.

use std::collections::BTreeMap;

use kv::StoreError;
use ruma::{OwnedEventId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;
use store::{
    account_data::Item,
    receipts::{self, Kind, Receipt, Thread},
};

use super::{
    answer::{Events, UnreadCounts},
    gather::Gather,
};
use crate::{client_event::raw, filter::EventFilter, reader::RoomView};

/// Receipts that are told of one room; the newest ones.
const RECEIPTS_MAX: usize = 1_000;

#[derive(Default)]
pub(super) struct Beside {
    pub ephemeral: Events,
    pub account_data: Events,
    pub unread: UnreadCounts,
    pub unread_threads: BTreeMap<OwnedEventId, UnreadCounts>,
    /// Whether anything of it is news.
    pub changed: bool,
}

#[derive(Serialize)]
struct Event<C> {
    content: C,
    #[serde(rename = "type")]
    event_type: &'static str,
}

/// Event → kind of receipt → user → receipt.
type ReceiptContent = BTreeMap<OwnedEventId, BTreeMap<&'static str, BTreeMap<OwnedUserId, Read>>>;

#[derive(Serialize)]
struct Read {
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<String>,
    ts: u64,
}

impl Gather<'_> {
    /// `since`: the position after which the client needs the room's news; `None`: it begins.
    pub(super) fn beside(
        &self,
        room: &RoomView<'_>,
        since: Option<u64>,
    ) -> Result<Beside, StoreError> {
        let account_data = self.room_account_data(room.rows.room, since.is_none())?;
        let mut ephemeral = Events::default();
        let filter = &self.query.filter.room.ephemeral;
        if filter.wants_room(&room.room_id) && filter.wants_type("m.receipt") {
            ephemeral.events.extend(self.receipts(room, since)?);
        }
        let changed = !account_data.is_empty() || !ephemeral.is_empty();
        Ok(Beside { ephemeral, account_data, changed, ..Beside::default() })
    }

    fn receipts(
        &self,
        room: &RoomView<'_>,
        since: Option<u64>,
    ) -> Result<Option<Box<RawValue>>, StoreError> {
        let span = (since.unwrap_or(0), self.until);
        let moved =
            receipts::changed(room.rows.snapshot, room.rows.room, span, RECEIPTS_MAX)?.into_iter();
        let mine = &self.reader.user;
        let shown =
            moved.filter(|Receipt { owner, .. }| owner.kind == Kind::Public || owner.user == *mine);
        let mut content = ReceiptContent::new();
        for Receipt { owner, event_id, ts_ms, .. } in shown {
            let kind = match owner.kind {
                Kind::Public => "m.read",
                Kind::Private => "m.read.private",
            };
            let thread_id = match owner.thread {
                Thread::Unthreaded => None,
                Thread::Main => Some("main".to_owned()),
                Thread::Root(root) => Some(root.to_string()),
            };
            let kinds = content.entry(event_id).or_default();
            let users = kinds.entry(kind).or_default();
            // Of receipts of one user for one event the unthreaded one says the most.
            let read = Read { thread_id, ts: ts_ms };
            if read.thread_id.is_none() || !users.contains_key(&owner.user) {
                users.insert(owner.user, read);
            }
        }
        Ok((!content.is_empty()).then(|| raw(&Event { content, event_type: "m.receipt" })))
    }
}

/// Account data as events, as far as the filter wants them.
pub(super) fn account_data(items: &[Item], filter: &EventFilter) -> Events {
    #[derive(Serialize)]
    struct AccountData<'a> {
        content: &'a RawValue,
        #[serde(rename = "type")]
        event_type: &'a str,
    }
    let wanted = items.iter().filter(|item| filter.wants_type(&item.kind));
    let events = wanted.filter_map(|item| {
        let content = serde_json::from_slice(&item.content).ok()?;
        Some(raw(&AccountData { content, event_type: &item.kind }))
    });
    Events { events: events.collect() }
}

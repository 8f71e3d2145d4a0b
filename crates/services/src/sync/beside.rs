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
use crate::{client_event::raw, filter::EventFilter, reader::RoomView, unread::Count};

/// Receipts that are told of one room; the newest ones.
const RECEIPTS_MAX: usize = 1_000;

#[derive(Default)]
pub(super) struct Beside {
    pub ephemeral: Events,
    pub account_data: Events,
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
        if filter.wants_room(&room.room_id) && filter.wants_type("m.typing") {
            ephemeral.events.extend(self.typing(room, since.is_none()));
        }
        let changed = !account_data.is_empty() || !ephemeral.is_empty();
        Ok(Beside { ephemeral, account_data, changed })
    }

    /// Who types in the room, if that changed or the room `begins` for the client.
    pub(super) fn typing(&self, room: &RoomView<'_>, begins: bool) -> Option<Box<RawValue>> {
        #[derive(Serialize)]
        struct Typing {
            user_ids: Vec<OwnedUserId>,
        }
        let (user_ids, serial) = self.syncs().typing.in_room(room.rows.room);
        // Who begins anew with a room may still believe what it was told before.
        let changed = self.since().is_some() && serial > self.since_typing();
        (changed || begins && !user_ids.is_empty())
            .then(|| raw(&Event { content: Typing { user_ids }, event_type: "m.typing" }))
    }

    /// Counts of what the user has not read: all together, and if the client wants them by thread,
    /// those too.
    pub(super) fn unread(
        &self,
        room: &RoomView<'_>,
    ) -> Result<(UnreadCounts, BTreeMap<OwnedEventId, UnreadCounts>), StoreError> {
        let user = &self.reader.user;
        let counts = self.syncs().unread.counts(self.rows, room.rows.room, user)?;
        if !self.query.filter.room.timeline.unread_thread_notifications {
            return Ok((counts.total().into(), BTreeMap::new()));
        }
        let threads = counts.threads.into_iter().map(|(root, count)| (root, count.into()));
        Ok((counts.main.into(), threads.collect()))
    }

    pub(super) fn receipts(
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

impl From<Count> for UnreadCounts {
    fn from(count: Count) -> Self {
        Self { highlight_count: count.highlights, notification_count: count.notifications }
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

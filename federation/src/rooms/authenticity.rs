//! Whether events are from whom they say: format, signatures and hash, each with the keys that were
//! in use when the event was sent.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{StreamExt, stream};
use model::{pdu::Pdu, room_version::RoomVersion, verify::Unverified};
use ruma::{OwnedEventId, OwnedServerName, serde::Base64, signatures::PublicKeyMap};
use serde_json::value::RawValue;
use services::{
    rooms::{
        Room,
        receive::present::Checked,
        remote::{RemoteError, Verified},
    },
    staged::Staged,
};

use super::RemoteServers;
use crate::keys::{Keys, When};

/// Events that are read and checked in one go, off the async threads.
const CHECKED_AT_ONCE: usize = 256;
/// So few events are read and checked where they are.
const READ_IN_PASSING_MAX: usize = 2;
/// Servers that are asked for keys at once.
const FETCHES_AT_ONCE: usize = 16;

/// An event that waits or has just come, as far as it could be read without asking anybody.
pub(crate) struct Read {
    pub(crate) row: Staged,
    /// None when it has not the format of its room's version.
    pub(crate) event_id: Option<OwnedEventId>,
    pub(crate) checked: Checked,
}

impl RemoteServers {
    /// Reads events of a room that wait or have just come, and says what is known of them without
    /// asking anybody.
    pub(crate) async fn read_at_hand(&self, room: &Arc<Room>, rows: Vec<Staged>) -> Vec<Read> {
        let (keys, room) = (Arc::clone(&self.keys), Arc::clone(room));
        let is_short = rows.len() <= READ_IN_PASSING_MAX;
        let read = move || rows.into_iter().map(|row| read(&keys, &room, row)).collect();
        match is_short {
            true => read(),
            false => self.client.context().aside(read).await.unwrap_or_default(),
        }
    }

    /// The event, redacted if its hash does not match.
    pub(crate) async fn verify_event(
        &self,
        json: &[u8],
        version: RoomVersion,
    ) -> Result<Pdu, RemoteError> {
        let event = Unverified::read(json, version)
            .map_err(|_| RemoteError::BadAnswer("not an event of the room's version"))?;
        let keys = self.keys.of_events(wanted(&event)).await;
        let otherwise = match keys.some_may_come {
            true => RemoteError::NoKeys,
            false => RemoteError::BadAnswer("an event that is not authentic"),
        };
        check(event, &keys.keys).ok_or(otherwise)
    }

    /// Those of the events that are authentic.
    pub(super) async fn verify_events(
        &self,
        events: Vec<Box<RawValue>>,
        version: RoomVersion,
    ) -> Verified {
        let mut verified = Verified::default();
        let mut events = events.into_iter();
        loop {
            let chunk: Vec<_> = events.by_ref().take(CHECKED_AT_ONCE).collect();
            if chunk.is_empty() {
                return verified;
            }
            let chunk = self.verify_chunk(chunk, version).await;
            verified.events.extend(chunk.events);
            verified.some_lack_keys |= chunk.some_lack_keys;
            verified.notary_is_away |= chunk.notary_is_away;
        }
    }

    async fn verify_chunk(&self, events: Vec<Box<RawValue>>, version: RoomVersion) -> Verified {
        let read = move || -> Vec<Unverified> {
            let read = |json: Box<RawValue>| Unverified::read(json.get().as_bytes(), version).ok();
            events.into_iter().filter_map(read).collect()
        };
        let context = self.client.context();
        let Some(events) = context.aside(read).await else { return Verified::default() };
        self.fetch_keys(&events).await;
        let mut with_keys = Vec::with_capacity(events.len());
        for event in events {
            let keys = self.keys.of_events(wanted(&event)).await;
            with_keys.push((event, keys));
        }
        let check = move || {
            let mut verified = Verified::default();
            for (event, keys) in with_keys {
                match check(event, &keys.keys) {
                    Some(event) => verified.events.push(event),
                    None => {
                        verified.some_lack_keys |= keys.some_may_come;
                        verified.notary_is_away |= keys.notary_is_away;
                    }
                }
            }
            verified
        };
        context.aside(check).await.unwrap_or_default()
    }

    /// Asks several servers at once for the keys that these events need.
    async fn fetch_keys(&self, events: &[Unverified]) {
        let needed: BTreeSet<(OwnedServerName, String)> =
            events.iter().flat_map(wanted).map(|(server, key_id, _)| (server, key_id)).collect();
        let fetching = stream::iter(needed).map(async |(server, key_id)| {
            // Whether it is there will be seen when each event asks for it.
            let _found = self.keys.key(&server, &key_id, When::At(0)).await;
        });
        fetching.buffer_unordered(FETCHES_AT_ONCE).collect::<()>().await;
    }
}

fn read(keys: &Keys, room: &Room, row: Staged) -> Read {
    let Ok(event) = Unverified::read(row.json.as_bytes(), room.version) else {
        return Read { row, event_id: None, checked: Checked::Bad };
    };
    let event_id = Some(event.claimed().event_id.clone());
    if event.claimed().room_id != room.id {
        return Read { row, event_id, checked: Checked::Bad };
    }
    let mut map = PublicKeyMap::new();
    for (server, key_id, sent_ms) in wanted(&event) {
        let Some(key) = keys.key_at_hand(&server, &key_id, When::At(sent_ms)) else {
            return Read { row, event_id, checked: Checked::Unknown };
        };
        map.entry(server.into()).or_default().insert(key_id, Base64::new(key.to_vec()));
    }
    let checked = match check(event, &map) {
        Some(event) => Checked::Authentic(Arc::new(event)),
        None => Checked::Bad,
    };
    Read { row, event_id, checked }
}

/// The keys that may verify the event, each with the moment at which it must have been in use.
fn wanted(event: &Unverified) -> Vec<(OwnedServerName, String, u64)> {
    let sent_ms = event.claimed().origin_server_ts;
    let required = event.required_signatures().into_iter();
    let of_one = required.flat_map(|required| {
        let server = required.server;
        required.keys.into_iter().map(move |key| (server.clone(), key.to_string(), sent_ms))
    });
    of_one.collect()
}

fn check(event: Unverified, keys: &PublicKeyMap) -> Option<Pdu> {
    let event_id = event.claimed().event_id.clone();
    match event.verify(keys) {
        Ok(verified) => Some(verified.into_pdu()),
        Err(error) => {
            tracing::info!(%event_id, %error, "event is not authentic");
            None
        }
    }
}

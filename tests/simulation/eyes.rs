//! What people's clients were told by /sync, while things happened and in the end. Cheap to clone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::Value;
use services::{filter::Filter, reader::Reader, sync::SyncQuery};

use crate::home::Running;

/// Events of a room that one answer may hold.
const FILTER: &str = r#"{"room":{"include_leave":true,"timeline":{"limit":100}}}"#;

#[derive(Clone, Default)]
pub struct Eyes(Arc<Mutex<BTreeMap<OwnedUserId, Seen>>>);

/// What one person was told.
#[derive(Default)]
struct Seen {
    /// Where the client goes on.
    since: Option<String>,
    events: BTreeMap<OwnedRoomId, BTreeSet<OwnedEventId>>,
}

impl Eyes {
    /// The person's client asks what is new.
    pub async fn look(&self, running: &Running, user: &OwnedUserId) {
        let since = self.0.lock().get(user).and_then(|seen| seen.since.clone());
        self.sync(running, user, since).await;
    }

    /// A client of the person that knows nothing yet asks for everything.
    pub async fn look_anew(&self, running: &Running, user: &OwnedUserId) {
        self.sync(running, user, None).await;
    }

    /// The events of the room that the person's clients were told.
    pub fn seen(&self, user: &OwnedUserId, room: &OwnedRoomId) -> BTreeSet<OwnedEventId> {
        let all = self.0.lock();
        all.get(user).and_then(|seen| seen.events.get(room)).cloned().unwrap_or_default()
    }

    async fn sync(&self, running: &Running, user: &OwnedUserId, since: Option<String>) {
        let query = SyncQuery {
            since,
            filter: Filter::parse(FILTER).expect("a filter"),
            full_state: false,
            use_state_after: false,
            timeout: Duration::ZERO,
        };
        let reader = Reader { user: user.clone(), device: None };
        let syncs = &running.federation.services.syncs;
        let answer = syncs.sync(reader, query.into(), std::future::pending()).await;
        let answer = serde_json::to_value(answer.expect("an answer").0).expect("JSON");
        let mut all = self.0.lock();
        let seen = all.entry(user.clone()).or_default();
        seen.since = answer["next_batch"].as_str().map(ToOwned::to_owned);
        for kind in ["join", "leave"] {
            for (room, told) in answer["rooms"][kind].as_object().into_iter().flatten() {
                let events = seen.events.entry(room.as_str().try_into().expect("an id"));
                events.or_default().extend(events_of(&told["timeline"], user));
            }
        }
    }
}

/// Without what is said of the user himself: he is told that his invitation has ended also by events
/// that are in no room that his homeserver has.
fn events_of(timeline: &Value, user: &OwnedUserId) -> impl Iterator<Item = OwnedEventId> {
    let is_of_him =
        |event: &&Value| event["type"] == "m.room.member" && event["state_key"] == user.as_str();
    let events = timeline["events"].as_array().into_iter().flatten();
    let events = events.filter(move |event| !is_of_him(event));
    events.map(|event| event["event_id"].as_str().expect("an id").try_into().expect("an id"))
}

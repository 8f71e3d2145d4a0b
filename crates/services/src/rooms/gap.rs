//! What an event stands on and is not here: found, and asked for.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kv::StoreError;
use model::pdu::{PREV_EVENTS_MAX, Pdu};
use ruma::{OwnedEventId, ServerName};
use store::events::{self, Standing};

use super::{
    Arrival, Room, Rooms, WriteError,
    receive::{Patience, ReceiveError, of_room},
    remote::RemoteError,
};
use crate::room_rows::RoomRows;

/// Events asked for at once to fill a gap.
const GAP_EVENTS_MAX: u32 = 100;

/// What of an event's past is not here.
#[derive(Debug, Default)]
pub(super) struct Missing {
    pub known: bool,
    pub auth: Vec<OwnedEventId>,
    pub prev: Vec<OwnedEventId>,
    extremities: Vec<OwnedEventId>,
    /// The depth at which this homeserver came into the room: what is less deep is history.
    depth_min: u64,
}

impl Missing {
    /// Those of the events without which there is a gap, oldest first.
    fn needed(&self, events: HashMap<OwnedEventId, Arc<Pdu>>) -> Vec<Arc<Pdu>> {
        let mut needed = self.walk(&events).0;
        needed.sort_by_key(|event| event.depth);
        needed
    }

    /// What is missing besides these events.
    fn ends(&self, events: &HashMap<OwnedEventId, Arc<Pdu>>) -> Vec<OwnedEventId> {
        self.walk(events).1
    }

    /// The way back through the events: those that it passes, and where it leads out of them. What an
    /// event of the time before we came follows is not needed: it is history, and there is much of
    /// it.
    fn walk(&self, events: &HashMap<OwnedEventId, Arc<Pdu>>) -> (Vec<Arc<Pdu>>, Vec<OwnedEventId>) {
        let (mut passed, mut ends) = (Vec::new(), Vec::new());
        let mut seen: HashSet<&OwnedEventId> = HashSet::new();
        let mut wave: Vec<&OwnedEventId> = self.prev.iter().collect();
        while let Some(event_id) = wave.pop() {
            if !seen.insert(event_id) {
                continue;
            }
            let Some(event) = events.get(event_id) else {
                ends.push(event_id.clone());
                continue;
            };
            if event.depth >= self.depth_min {
                wave.extend(&event.prev_events);
            }
            passed.push(Arc::clone(event));
        }
        (passed, ends)
    }
}

impl Rooms {
    pub(super) async fn missing(
        &self,
        room: &Arc<Room>,
        pdu: &Arc<Pdu>,
    ) -> Result<Missing, ReceiveError> {
        let pdu = Arc::clone(pdu);
        let us = self.context().server_name.to_string();
        let missing = self.read(room.number, move |rows| {
            if let Some(event) = rows.event_by_id(&pdu.event_id)?
                && event.record.standing != Standing::Outlier
            {
                return Ok(Missing { known: true, ..Missing::default() });
            }
            let absent = |ids: &[OwnedEventId]| -> Result<Vec<OwnedEventId>, StoreError> {
                let numbers = events::numbers(rows.snapshot, ids.iter())?;
                let absent = ids.iter().zip(numbers).filter(|(_, number)| number.is_none());
                Ok(absent.map(|(id, _)| id.clone()).collect())
            };
            let prev = not_placed(rows, pdu.prev_events.clone())?;
            let presence = store::memberships::server_in_room(rows.snapshot, &us, rows.room)?;
            let entry = presence.map(|presence| rows.event(presence.since)).transpose()?.flatten();
            let depth_min = entry.map_or(0, |entry| entry.pdu.depth);
            let head = store::rooms::head(rows.snapshot, rows.room)?;
            let extremities = head.into_iter().flat_map(|head| head.extremities);
            let extremities =
                extremities.filter_map(|e| OwnedEventId::try_from(e.event_id).ok()).collect();
            let auth = absent(&pdu.auth_events)?;
            Ok(Missing { known: false, auth, prev, extremities, depth_min })
        });
        Ok(missing.await.map_err(WriteError::from)?)
    }

    /// Asks for the events between ours and this one, and takes them in. What nobody has is not an
    /// error: then the state before the oldest of them is asked for.
    pub(super) async fn fill_gap(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        pdu: &Arc<Pdu>,
        missing: &Missing,
    ) -> Result<(), ReceiveError> {
        let (events, mut failure) = self.ask_for_gap(room, origin, pdu, missing).await?;
        for event in events {
            let arrival = match event.depth < missing.depth_min {
                true => Arrival::Backfilled(self.oldest_gap(room).await?.1),
                false => Arrival::New,
            };
            let arrival = (arrival, Patience::Strict);
            // One bad event of a gap must not keep the good ones out.
            if let Err(error) = self.receive_one(room, origin, &event, arrival).await {
                tracing::info!(%origin, event_id = %event.event_id, %error, "event of a gap not taken in");
                if error.may_pass() {
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// The events of a gap, oldest first, and why there may be more of them later. The sender's
    /// server is asked first. It need not have all of them: it may have come into the room later
    /// than we did, or have taken an event for part of a state only. The others then are asked for
    /// what is still missing.
    async fn ask_for_gap(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        pdu: &Arc<Pdu>,
        missing: &Missing,
    ) -> Result<(Vec<Arc<Pdu>>, Option<ReceiveError>), ReceiveError> {
        let remote = self.remote()?;
        let latest = [pdu.event_id.clone()];
        let mut answer = remote
            .missing_events(origin, &room.id, &latest, &missing.extremities, GAP_EVENTS_MAX)
            .await;
        let mut server = origin.to_owned();
        let others = self.servers_with_history(room).await?;
        let mut others = others.into_iter().filter(|server| server != origin);
        let (mut found, mut lacks_keys, mut failure) = (HashMap::new(), false, None);
        loop {
            match answer {
                Ok(events) => {
                    let is_cut_off = events.len() >= GAP_EVENTS_MAX as usize;
                    let verified = remote.verify_all(events, room.version).await?;
                    lacks_keys |= verified.some_lack_keys;
                    let events = of_room(room, verified.events);
                    found.extend(events.map(|event| (event.event_id.clone(), event)));
                    // So long a gap is not filled: the state after it is asked for.
                    if is_cut_off {
                        failure = None;
                        break;
                    }
                }
                Err(error) => {
                    tracing::info!(%server, room_id = %room.id, %error, "gap was not filled");
                    failure = error.may_pass().then_some(error).or(failure);
                }
            }
            let mut ends = self.not_placed(room, missing.ends(&found)).await?;
            ends.truncate(PREV_EVENTS_MAX);
            if ends.is_empty() {
                failure = None;
                break;
            }
            let Some(other) = others.next() else { break };
            answer = remote.backfill(&other, &room.id, &ends, GAP_EVENTS_MAX).await;
            server = other;
        }
        let failure = if lacks_keys { Some(RemoteError::NoKeys) } else { failure };
        Ok((missing.needed(found), failure.map(ReceiveError::from)))
    }

    /// Those of the events that have no place in the room's graph here.
    async fn not_placed(
        &self,
        room: &Room,
        event_ids: Vec<OwnedEventId>,
    ) -> Result<Vec<OwnedEventId>, ReceiveError> {
        let not_placed = self.read(room.number, move |rows| not_placed(rows, event_ids));
        Ok(not_placed.await.map_err(WriteError::from)?)
    }
}

/// Those of the events that have no place in the room's graph. An outlier has none: it is as good as
/// not there.
pub(super) fn not_placed(
    rows: RoomRows<'_>,
    event_ids: Vec<OwnedEventId>,
) -> Result<Vec<OwnedEventId>, StoreError> {
    let mut not_placed = Vec::new();
    for event_id in event_ids {
        let event = rows.event_by_id(&event_id)?;
        if event.is_none_or(|event| event.record.state_after.is_none()) {
            not_placed.push(event_id);
        }
    }
    Ok(not_placed)
}

//! Taking in events of other servers: what they stand on is fetched first, then they are judged.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use model::pdu::Pdu;
use ruma::{OwnedEventId, ServerName};
use store::events::{self, Standing};

use super::{Arrival, Room, Rooms, WriteError, remote::RemoteError};

pub mod present;

/// What became of an event that another server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Accepted,
    /// It was here before.
    Known,
    /// Its own past does not allow it, or the room's present does not: nobody is shown it.
    NotShown,
}

/// Why an event could not be taken in. The event may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error("what the event stands on could not be fetched: {0}")]
    Remote(#[from] RemoteError),
    #[error("the event's past could not be completed")]
    Incomplete,
    /// Its server was asked for what it follows, and did not show it.
    #[error("what the event follows is not shown, or is not valid")]
    Withheld,
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl ReceiveError {
    /// Whether the same may succeed later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Remote(error) => error.may_pass(),
            Self::Incomplete => true,
            Self::Withheld | Self::Write(_) => false,
        }
    }
}

/// How much of an event's past must be here before it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Everything that can be had sooner or later: what fails now may be tried again.
    Strict,
    /// What can be had now.
    AtLast,
}

/// Auth events that one event may bring with it.
const AUTH_EVENTS_FETCHED_MAX: usize = 10_000;
/// Outliers written in one commit.
const OUTLIERS_PER_COMMIT: usize = 500;

impl Rooms {
    /// Takes in a verified event that `origin` sent. The caller lets in one event of a room at a
    /// time.
    pub async fn receive(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        pdu: Pdu,
        patience: Patience,
    ) -> Result<Received, ReceiveError> {
        let pdu = Arc::new(pdu);
        let missing = self.missing(room, &pdu).await?;
        if missing.known {
            return Ok(Received::Known);
        }
        if !missing.prev.is_empty() {
            let filled = self.fill_gap(room, origin, &pdu, &missing).await;
            let was_answered = filled.is_ok();
            if patience == Patience::Strict {
                filled?;
            }
            // Who sends an event has what it follows. A state that its server tells us in place of
            // that is not looked at: events that are not valid would come into the room with it.
            if !self.missing(room, &pdu).await?.prev.is_empty() {
                return Err(match was_answered {
                    true => ReceiveError::Withheld,
                    false => ReceiveError::Incomplete,
                });
            }
        }
        self.receive_one(room, origin, &pdu, (Arrival::New, patience)).await
    }

    /// Takes in an event, fetching the state before it if its previous events are not here.
    pub(super) async fn receive_one(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        pdu: &Arc<Pdu>,
        (arrival, patience): (Arrival, Patience),
    ) -> Result<Received, ReceiveError> {
        let missing = self.missing(room, pdu).await?;
        if missing.known {
            return Ok(Received::Known);
        }
        let mut told = Vec::new();
        for prev in &missing.prev {
            told.push(self.fetch_state_after(room, origin, prev, patience).await?);
        }
        // The state may have brought them.
        if !missing.auth.is_empty() {
            self.fetch_missing_auth(room, origin, pdu).await?;
        }
        let pdu = Arc::clone(pdu);
        let present: Vec<OwnedEventId> =
            pdu.prev_events.iter().filter(|id| !missing.prev.contains(id)).cloned().collect();
        let written = self.write(room, move |draft| {
            if draft.is_known(&pdu.event_id)? {
                return Ok(Received::Known);
            }
            let mut roots = Vec::new();
            for state in &told {
                roots.push(draft.build_state_of(state)?);
            }
            if !present.is_empty() {
                roots.extend(draft.state_after_all(&present)?);
            }
            let before = draft.resolve(&roots)?;
            Ok(match draft.accept(&pdu, before, arrival)? {
                Standing::Accepted => Received::Accepted,
                _ => Received::NotShown,
            })
        });
        Ok(written.await?.value)
    }

    /// Fetches and stores the auth chain of an event.
    async fn fetch_auth(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        pdu: &Arc<Pdu>,
    ) -> Result<(), ReceiveError> {
        let remote = self.remote()?;
        let chain = match remote.event_auth(origin, &room.id, &pdu.event_id).await {
            Ok(chain) => chain,
            Err(error) => {
                tracing::info!(%origin, event_id = %pdu.event_id, %error, "auth chain not given");
                Vec::new()
            }
        };
        let chain = remote.verify_all(chain, room.version).await?.events;
        let mut chain: Vec<Arc<Pdu>> = of_room(room, chain).collect();
        let mut have: HashSet<OwnedEventId> =
            chain.iter().map(|event| event.event_id.clone()).collect();
        // What the chain does not hold is asked for one by one.
        let mut wanted: Vec<OwnedEventId> = pdu.auth_events.clone();
        while let Some(event_id) = wanted.pop() {
            if chain.len() > AUTH_EVENTS_FETCHED_MAX {
                return Err(ReceiveError::Incomplete);
            }
            if have.contains(&event_id) || self.is_stored(room, &event_id).await? {
                continue;
            }
            let event = remote.event(origin, &event_id).await?;
            let event = Arc::new(remote.verify(&event, room.version).await?);
            if event.event_id != event_id || event.room_id != room.id {
                return Err(RemoteError::BadAnswer("another event than asked for").into());
            }
            wanted.extend(event.auth_events.iter().cloned());
            have.insert(event_id);
            chain.push(event);
        }
        self.put_outliers(room, chain).await
    }

    /// The state after an event that is not here, as `origin` tells it, or else one of the room's
    /// other servers: ids of stored events.
    async fn fetch_state_after(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        event_id: &OwnedEventId,
        patience: Patience,
    ) -> Result<Vec<OwnedEventId>, ReceiveError> {
        let failure = match self.ask_for_state(room, origin, event_id, patience).await {
            Err(ReceiveError::Remote(failure)) => failure,
            decided => return decided,
        };
        for server in self.servers_with_history(room).await? {
            if server == origin {
                continue;
            }
            match self.ask_for_state(room, &server, event_id, patience).await {
                Err(ReceiveError::Remote(error)) => {
                    tracing::info!(%server, %event_id, %error, "state was not given");
                }
                decided => return decided,
            }
        }
        Err(failure.into())
    }

    async fn ask_for_state(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        event_id: &OwnedEventId,
        patience: Patience,
    ) -> Result<Vec<OwnedEventId>, ReceiveError> {
        let remote = self.remote()?;
        let ids = remote.state_ids(origin, &room.id, event_id).await?;
        let mut absent: BTreeSet<OwnedEventId> = BTreeSet::new();
        for id in ids.state.iter().chain(&ids.auth_chain) {
            if !self.is_stored(room, id).await? {
                absent.insert(id.clone());
            }
        }
        let mut raw = Vec::new();
        let mut failure: Option<RemoteError> = None;
        if absent.len() > STATE_FETCHED_ONE_BY_ONE_MAX {
            let whole = remote.state(origin, &room.id, event_id).await?;
            raw.extend(whole.state.into_iter().chain(whole.auth_chain));
        } else {
            for id in &absent {
                match remote.event(origin, id).await {
                    Ok(event) => raw.push(event),
                    Err(error) if error.may_pass() => failure = Some(error),
                    Err(_) => {}
                }
            }
        }
        let verified = remote.verify_all(raw, room.version).await?;
        if verified.some_lack_keys {
            failure = Some(RemoteError::NoKeys);
        }
        self.put_outliers(room, of_room(room, verified.events).collect()).await?;
        // On a state with holes, events would be judged wrongly, and for good.
        if let Some(failure) = failure.filter(|_| patience == Patience::Strict) {
            return Err(failure.into());
        }
        let mut state = ids.state;
        // The state after the event holds the event itself, if it is one of state.
        if let Ok(event) = remote.event(origin, event_id).await {
            let event = remote.verify(&event, room.version).await?;
            if event.event_id == *event_id && event.is_state() && event.room_id == room.id {
                let event = Arc::new(event);
                self.fetch_missing_auth(room, origin, &event).await?;
                self.put_outliers(room, vec![Arc::clone(&event)]).await?;
                state.push(event_id.clone());
            }
        }
        Ok(state)
    }

    async fn fetch_missing_auth(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        event: &Arc<Pdu>,
    ) -> Result<(), ReceiveError> {
        if self.missing(room, event).await?.auth.is_empty() {
            return Ok(());
        }
        self.fetch_auth(room, origin, event).await
    }

    async fn is_stored(&self, room: &Room, event_id: &OwnedEventId) -> Result<bool, ReceiveError> {
        let event_id = event_id.clone();
        let stored = self.read(room.number, move |rows| {
            Ok(events::number(rows.snapshot, &event_id)?.is_some_and(|(room, _)| room == rows.room))
        });
        Ok(stored.await.map_err(WriteError::from)?)
    }

    /// Stores events that are only part of auth chains and states, each after its auth events.
    /// Events whose auth events are not to be had are left out.
    pub(super) async fn put_outliers(
        &self,
        room: &Arc<Room>,
        events: Vec<Arc<Pdu>>,
    ) -> Result<(), ReceiveError> {
        let sorted = by_auth(events);
        for chunk in sorted.chunks(OUTLIERS_PER_COMMIT) {
            let chunk = chunk.to_vec();
            let written = self.write(room, move |draft| {
                for event in &chunk {
                    match draft.put_outlier(event) {
                        Ok(_) | Err(WriteError::MissingAuthEvent) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            });
            written.await?;
        }
        Ok(())
    }
}

/// Those of the events that are of this room.
pub(super) fn of_room(room: &Room, events: Vec<Pdu>) -> impl Iterator<Item = Arc<Pdu>> {
    events.into_iter().filter(|event| event.room_id == room.id).map(Arc::new)
}

/// Events fetched one by one before the whole state is asked for.
const STATE_FETCHED_ONE_BY_ONE_MAX: usize = 20;

/// The events, each after those of its auth events that are among them; the create event, which
/// authorises everything without being named since version 12, is first.
pub(super) fn by_auth(mut events: Vec<Arc<Pdu>>) -> Vec<Arc<Pdu>> {
    events.sort_by_key(|event| !event.is_at("m.room.create", ""));
    let mut pending: std::collections::HashMap<OwnedEventId, Arc<Pdu>> =
        events.iter().map(|event| (event.event_id.clone(), Arc::clone(event))).collect();
    let mut sorted = Vec::with_capacity(pending.len());
    let mut stack: Vec<(Arc<Pdu>, bool)> =
        events.into_iter().rev().map(|event| (event, false)).collect();
    while let Some((event, auth_done)) = stack.pop() {
        if auth_done {
            sorted.push(event);
        } else if pending.remove(&event.event_id).is_some() {
            stack.push((Arc::clone(&event), true));
            let auth = event.auth_events.iter().filter_map(|id| pending.get(id).cloned());
            stack.extend(auth.map(|event| (event, false)));
        }
    }
    sorted
}

//! Working off what is pending for one server, until there is nothing left or it fails.

use std::{collections::BTreeSet, sync::Arc};

use model::RoomNumber;
use ruma::ServerName;
use serde_json::value::RawValue;
use services::destinations::{DestinationsError, Scope};

use super::{
    Inner,
    transaction::{Outcome, Parcel},
};

/// Bounds of a transaction.
/// <https://spec.matrix.org/v1.19/server-server-api/#transactions>
const PDUS_MAX: usize = 50;
const EDUS_MAX: usize = 100;
/// A cursor that moves without anything having been sent is kept when it has moved so far: it
/// only spares the next start some reading.
const IDLE_STEPS_MAX: i64 = 1_000;

/// What a lane is to look at.
struct Work {
    scope: Scope,
    ephemeral: Vec<Box<RawValue>>,
}

impl Inner {
    /// The task of a lane.
    pub(super) async fn work(self: Arc<Self>, server: &ServerName) {
        loop {
            let permits = match self.contacts.is_failing(server) {
                true => &self.probing,
                false => &self.sending,
            };
            // They are never closed.
            let Ok(_permit) = permits.acquire().await else { return };
            let Some(work) = self.take_work(server) else { return };
            match self.send(server, &work).await {
                Ok(true) => self.finish(server, &work.scope),
                Ok(false) => return self.give_up(server),
                Err(error) => {
                    tracing::error!(%server, %error, "what the server lacks cannot be read or kept");
                    return self.give_up(server);
                }
            }
        }
    }

    /// What is to be done now; without anything, the lane ends.
    fn take_work(&self, server: &ServerName) -> Option<Work> {
        let mut state = self.state.lock();
        let up_to = state.dispatched;
        let lane = state.lanes.get_mut(server)?;
        if !lane.has_work() {
            state.lanes.remove(server);
            return None;
        }
        let ephemeral = std::mem::take(&mut lane.ephemeral).into_values().take(EDUS_MAX).collect();
        lane.outbox = false;
        let rooms: BTreeSet<RoomNumber> = lane.rooms.keys().copied().collect();
        let rooms = (!lane.everything).then_some(rooms);
        let scope = Scope { rooms, up_to, pdus_max: PDUS_MAX, edus_max: EDUS_MAX };
        Some(Work { scope, ephemeral })
    }

    /// Everything in the scope has arrived.
    fn finish(&self, server: &ServerName, scope: &Scope) {
        let mut state = self.state.lock();
        let Some(lane) = state.lanes.get_mut(server) else { return };
        lane.rooms.retain(|_, position| *position > scope.up_to);
        if scope.rooms.is_none() {
            lane.everything = false;
        }
    }

    /// The server fails: all of it is looked at when it is tried again.
    fn give_up(&self, server: &ServerName) {
        let mut state = self.state.lock();
        if let Some(lane) = state.lanes.get_mut(server) {
            lane.running = false;
            lane.everything = true;
            lane.outbox = true;
            lane.rooms.clear();
            lane.ephemeral.clear();
        }
        drop(state);
        // From now on there is a lane that waits for its time.
        self.news.notify_one();
    }

    /// Sends everything in the scope, transaction by transaction; says whether the server took it.
    async fn send(&self, server: &ServerName, work: &Work) -> Result<bool, DestinationsError> {
        let mut ephemeral = work.ephemeral.clone();
        loop {
            let mut pending = self.destinations.pending(server, work.scope.clone()).await?;
            // Receipts are told once: they move the cursor as events do.
            let durable =
                !pending.pdus.is_empty() || !pending.edus.is_empty() || !pending.waiting.is_empty();
            let has_ephemeral = !ephemeral.is_empty() && pending.edus.len() < EDUS_MAX;
            if has_ephemeral {
                let room = EDUS_MAX - pending.edus.len();
                pending.edus.extend(ephemeral.drain(..room.min(ephemeral.len())));
            }
            if durable || has_ephemeral {
                let parcel = Parcel {
                    from: pending.from,
                    pdus: pending.pdus,
                    edus: pending.edus,
                    has_ephemeral,
                };
                if self.deliver(server, parcel).await == Outcome::Failed {
                    return Ok(false);
                }
            }
            let far = pending.to.0 - pending.from.0 >= IDLE_STEPS_MAX;
            if durable || far || pending.more {
                self.destinations.delivered(server, pending.to, pending.waiting).await?;
            }
            if !pending.more && ephemeral.is_empty() {
                return Ok(true);
            }
        }
    }
}

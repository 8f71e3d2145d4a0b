//! What other servers are to be sent, and how far they have it.
//!
//! There is no row per event and server: what a server still lacks is read from the timelines of
//! the rooms that it shares with us, after the cursor that is kept for it. Only what does not
//! follow from a shared room waits in a row of its own.
//!
//! A cursor that moves over events of rooms is kept a little later, with those of other servers: all
//! that a crash does is that they are sent again, and whoever has an event knows it again. It never
//! stands in the store after what was delivered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kv::{CommitError, StoreError};
use model::{EventNumber, RoomNumber};
use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};
use serde_json::value::RawValue;
use store::{
    destinations::{self as rows, Waiting},
    log::Change,
    memberships, to_device,
};
pub use store::{
    destinations::{Destination, Failing},
    events::Order,
};
use tokio::sync::Notify;

use crate::Context;

mod gather;
pub use gather::{Addressees, Outbox, Pending, Scope};

/// Why the destinations could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DestinationsError {
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] CommitError),
}

/// Cursors that are made durable in one commit.
const KEPT_AT_ONCE: usize = 500;

/// See the module. Cheap to clone; one for each homeserver.
#[derive(Clone)]
pub struct Destinations {
    context: Context,
    cursors: Arc<Cursors>,
}

/// What is newer than the store.
#[derive(Default)]
struct Cursors {
    /// Where the cursors stand that were not kept yet.
    moved: Mutex<BTreeMap<OwnedServerName, Order>>,
    /// Rings when there is one.
    bell: Notify,
    /// Held by who changes rows of servers, so that no change is lost in another.
    keeping: tokio::sync::Mutex<()>,
}

impl Destinations {
    pub fn new(context: Context) -> Self {
        Self { context, cursors: Arc::default() }
    }

    /// The servers that did not answer when they were called last.
    pub async fn failing(&self) -> Result<Vec<(OwnedServerName, Failing)>, DestinationsError> {
        let all = self.context.store.read(rows::all).await?;
        let failing = all.into_iter().filter_map(|(server, destination)| {
            Some((OwnedServerName::try_from(server).ok()?, destination.failing?))
        });
        Ok(failing.collect())
    }

    /// Whom these events of these rooms are for; all of them are looked at in one reading.
    pub async fn of_events(
        &self,
        events: Vec<(RoomNumber, Vec<EventNumber>)>,
    ) -> Result<Vec<Addressees>, DestinationsError> {
        let us = self.context.server_name.clone();
        let reading = self.context.store.read(move |snapshot| {
            let of_room =
                |(room, events): &(_, Vec<_>)| gather::addressees(snapshot, &us, *room, events);
            events.iter().map(of_room).collect::<Result<_, _>>()
        });
        Ok(reading.await?)
    }

    /// The other servers that have users in the room.
    pub async fn in_room(
        &self,
        room: RoomNumber,
    ) -> Result<Vec<OwnedServerName>, DestinationsError> {
        let servers =
            self.context.store.read(move |snapshot| memberships::servers(snapshot, room)).await?;
        let others = servers.into_iter().filter_map(|(server, presence)| {
            let server = OwnedServerName::try_from(server).ok()?;
            (presence.joined > 0 && server != self.context.server_name).then_some(server)
        });
        Ok(others.collect())
    }

    /// The other servers that may lack something: to be asked once, when the homeserver starts.
    pub async fn known(&self) -> Result<Vec<OwnedServerName>, DestinationsError> {
        let us = self.context.server_name.clone();
        Ok(self.context.store.read(move |snapshot| gather::known(snapshot, &us)).await?)
    }

    /// The other servers that share a room with a local user.
    pub async fn of_user(
        &self,
        localpart: &str,
    ) -> Result<Vec<OwnedServerName>, DestinationsError> {
        let localpart = localpart.to_owned();
        let rooms = self.context.store.read(move |snapshot| {
            let rooms = memberships::of_user(snapshot, &localpart)?.into_iter();
            let joined = rooms.filter(|(_, membership)| membership.kind == memberships::Kind::Join);
            Ok::<_, StoreError>(joined.map(|(room, _)| room).collect::<Vec<_>>())
        });
        let mut servers = BTreeSet::new();
        for room in rooms.await? {
            servers.extend(self.in_room(room).await?);
        }
        Ok(servers.into_iter().collect())
    }

    /// What the server lacks, oldest first.
    pub async fn pending(
        &self,
        server: &ServerName,
        scope: Scope,
    ) -> Result<Pending, DestinationsError> {
        let (us, server) = (self.context.server_name.clone(), server.to_owned());
        let moved = self.cursors.moved.lock().get(&server).copied();
        let gather = move |snapshot: &kv::Snapshot| {
            let kept = rows::get(snapshot, server.as_str())?;
            let kept = kept.map_or(Order(0, 0), |destination| destination.delivered);
            let from = moved.map_or(kept, |moved| moved.max(kept));
            gather::pending(snapshot, (&us, &server), from, &scope)
        };
        Ok(self.context.store.read(gather).await?)
    }

    /// Moves the server's cursor forward and takes what has arrived out of its outbox. It answers,
    /// so it fails no longer. Durable only if something was in the outbox; see
    /// [`keep`](Self::keep).
    pub async fn delivered(
        &self,
        server: &ServerName,
        up_to: Order,
        arrived: Outbox,
    ) -> Result<(), DestinationsError> {
        if arrived.is_empty() {
            self.cursors.moved.lock().insert(server.to_owned(), up_to);
            self.cursors.bell.notify_one();
            return Ok(());
        }
        let _keeping = self.cursors.keeping.lock().await;
        let mut batch = self.context.batch();
        let destination = Destination { delivered: up_to, failing: None };
        rows::put(&mut batch, server.as_str(), &destination);
        for key in arrived.items {
            rows::remove_waiting(&mut batch, key);
        }
        for place in arrived.to_device {
            to_device::delete_outbound(&mut batch, server.as_str(), place);
        }
        self.context.log.commit(batch, vec![Change::Nothing]).await?;
        self.cursors.moved.lock().remove(server);
        Ok(())
    }

    /// Waits until a cursor has moved that was not kept.
    pub async fn moved(&self) {
        self.cursors.bell.notified().await;
    }

    /// Makes the cursors durable that have moved.
    pub async fn keep(&self) -> Result<(), DestinationsError> {
        loop {
            let _keeping = self.cursors.keeping.lock().await;
            let moved: Vec<(OwnedServerName, Order)> = {
                let moved = self.cursors.moved.lock();
                let some = moved.iter().take(KEPT_AT_ONCE);
                some.map(|(server, order)| (server.clone(), *order)).collect()
            };
            if moved.is_empty() {
                return Ok(());
            }
            let kept = moved.clone();
            let read = move |snapshot: &kv::Snapshot| {
                let before = kept.iter().map(|(server, _)| rows::get(snapshot, server.as_str()));
                before.collect::<Result<Vec<_>, StoreError>>()
            };
            let before = self.context.store.read(read).await?;
            let mut batch = self.context.batch();
            for ((server, delivered), before) in moved.iter().zip(before) {
                let failing = before.and_then(|before| before.failing);
                let destination = Destination { delivered: *delivered, failing };
                rows::put(&mut batch, server.as_str(), &destination);
            }
            self.context.log.commit(batch, vec![Change::Nothing]).await?;
            let mut still = self.cursors.moved.lock();
            for (server, kept) in moved {
                if still.get(&server) == Some(&kept) {
                    still.remove(&server);
                }
            }
        }
    }

    /// Remembers that the server fails, or (`None`) that it answers again.
    pub async fn set_failing(
        &self,
        server: &ServerName,
        failing: Option<Failing>,
    ) -> Result<(), DestinationsError> {
        let _keeping = self.cursors.keeping.lock().await;
        let name = server.to_string();
        let before = self.context.store.read(move |snapshot| rows::get(snapshot, &name)).await?;
        let delivered = before.map_or(Order(0, 0), |destination| destination.delivered);
        let mut batch = self.context.batch();
        rows::put(&mut batch, server.as_str(), &Destination { delivered, failing });
        self.context.log.commit(batch, vec![Change::Nothing]).await?;
        Ok(())
    }

    /// Lets an event that is not ours, but that we answer for (a join that came through us), be
    /// sent to every other server of its room.
    pub async fn forward(
        &self,
        room: RoomNumber,
        event: EventNumber,
        from: &ServerName,
    ) -> Result<(), DestinationsError> {
        let mut servers = self.in_room(room).await?;
        servers.retain(|server| server != from);
        if servers.is_empty() {
            return Ok(());
        }
        let mut batch = self.context.batch();
        let mut entry = Vec::with_capacity(servers.len());
        for server in servers {
            rows::enqueue(&mut batch, server.as_str(), 0, &Waiting::Event { room, event });
            entry.push(Change::Outbound { server: server.into() });
        }
        self.context.log.commit(batch, entry).await?;
        Ok(())
    }

    /// Lets an ephemeral data unit wait for each of the servers, until it has arrived.
    pub async fn enqueue_edu(
        &self,
        servers: &[OwnedServerName],
        edu: &RawValue,
    ) -> Result<(), DestinationsError> {
        let mut batch = self.context.batch();
        let mut entry = Vec::with_capacity(servers.len());
        for server in servers {
            rows::enqueue(&mut batch, server.as_str(), 0, &Waiting::Edu(edu.get().to_owned()));
            entry.push(Change::Outbound { server: server.to_string() });
        }
        self.context.log.commit(batch, entry).await?;
        Ok(())
    }
}

//! What other servers are to be sent, and how far they have it.
//!
//! There is no row per event and server: what a server still lacks is read from the timelines of
//! the rooms that it shares with us, after the cursor that is kept for it. Only what does not
//! follow from a shared room waits in a row of its own.

use kv::{CommitError, StoreError};
use model::{EventNumber, RoomNumber};
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

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Destinations {
    context: Context,
}

impl Destinations {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// Where the sending to a server stands; `None` when it was never sent anything.
    pub async fn get(&self, server: &ServerName) -> Result<Option<Destination>, DestinationsError> {
        let server = server.to_string();
        Ok(self.context.store.read(move |snapshot| rows::get(snapshot, &server)).await?)
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
        let mut servers = std::collections::BTreeSet::new();
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
        Ok(self
            .context
            .store
            .read(move |snapshot| gather::pending(snapshot, &us, &server, &scope))
            .await?)
    }

    /// Moves the server's cursor forward and takes what has arrived out of its outbox. It answers,
    /// so it fails no longer.
    pub async fn delivered(
        &self,
        server: &ServerName,
        up_to: Order,
        arrived: Outbox,
    ) -> Result<(), DestinationsError> {
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
        Ok(())
    }

    /// Remembers that the server fails, or (`None`) that it answers again.
    pub async fn set_failing(
        &self,
        server: &ServerName,
        failing: Option<Failing>,
    ) -> Result<(), DestinationsError> {
        let before = self.get(server).await?;
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

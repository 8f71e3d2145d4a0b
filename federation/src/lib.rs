//! The Server-Server API of one homeserver: what other servers ask of it ([`inbound`]), and what it
//! asks of and sends to them ([`client`], [`outbound`]).
//!
//! <https://spec.matrix.org/v1.19/server-server-api/>

use std::sync::Arc;

use ruma::OwnedServerName;
use services::{Context, Services, destinations::Destinations};

pub mod authorization;
pub mod client;
pub mod destinations;
mod devices;
pub mod discovery;
mod flights;
pub mod grants;
pub mod inbound;
pub mod intake;
pub mod keys;
mod limits;
mod media;
pub mod outbound;
pub mod profiles;
pub mod rooms;
#[cfg(test)]
mod tls_host;
pub mod transport;
#[cfg(test)]
pub(crate) mod worlds;

use crate::{
    client::FederationClient, destinations::Contacts, devices::RemoteDevices, intake::Intake,
    keys::Keys, media::RemoteFiles, outbound::Sender, rooms::RemoteServers, transport::Transport,
};

/// What the operator decides about federation.
#[derive(Clone, Debug, Default)]
pub struct FederationSettings {
    /// Servers that are asked for the keys of servers that do not answer.
    pub notaries: Vec<OwnedServerName>,
}

/// Everything that one homeserver has to do with others. Cheap to clone.
#[derive(Clone)]
pub struct Federation {
    pub services: Arc<Services>,
    pub contacts: Arc<Contacts>,
    pub client: FederationClient,
    pub keys: Arc<Keys>,
    pub sender: Sender,
    pub intake: Arc<Intake>,
    remote: Arc<RemoteServers>,
}

impl Federation {
    pub fn new(
        services: Arc<Services>,
        transport: Arc<Transport>,
        settings: FederationSettings,
    ) -> Self {
        let context = services.context.clone();
        let destinations = Destinations::new(context.clone());
        let contacts = Contacts::new(context.clone(), destinations.clone());
        let client = FederationClient::new(context.clone(), transport, contacts.clone());
        let keys = Keys::new(context.clone(), client.clone(), settings.notaries);
        let ephemeral = (services.typing.clone(), services.presences.clone());
        let sender = Sender::new(destinations, client.clone(), contacts.clone(), ephemeral);
        let remote = RemoteServers::new(client.clone(), Arc::clone(&keys));
        services.rooms.connect(remote.clone());
        services.keys.connect(RemoteDevices::new(client.clone()));
        let remote_bytes_max = services.media.settings().remote_bytes_max;
        services.media.connect(RemoteFiles::new(client.clone(), remote_bytes_max));
        services.profiles.connect(profiles::Profiles::new(client.clone()));
        let intake = Intake::new(context, services.rooms.clone(), remote.clone());
        Self { services, contacts, client, keys, sender, intake, remote }
    }

    /// Sends to other servers what is for them, and takes in what they sent, until the future is
    /// dropped.
    pub async fn run(&self) {
        if let Err(error) = self.intake.resume().await {
            tracing::error!(%error, "events that wait cannot be read");
        }
        self.sender.run().await;
    }

    pub fn context(&self) -> &Context {
        &self.services.context
    }
}

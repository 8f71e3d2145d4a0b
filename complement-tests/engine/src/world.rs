//! What exists: images, networks and containers, in the words of the Docker API.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::PathBuf,
    sync::Arc,
};

use tokio::{process::Child, sync::Mutex};

use crate::{
    error::Error,
    homeserver::Software,
    labels::{Labels, Selection},
    names::NameServer,
};

#[cfg(test)]
mod tests;

/// Everything that the engine holds. Objects are found by id, or by name.
#[derive(Default)]
pub(crate) struct World {
    images: BTreeMap<String, Image>,
    networks: BTreeMap<String, Network>,
    containers: BTreeMap<String, Container>,
    last_id: u64,
}

/// What a homeserver starts from.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) id: String,
    /// As `localhost/complement:fed.alice.hs1`.
    pub(crate) reference: String,
    pub(crate) labels: Labels,
    pub(crate) software: Software,
    /// What a committed container left behind; the base image has nothing.
    pub(crate) folder: Option<PathBuf>,
}

pub(crate) struct Network {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) name_server: NameServer,
}

#[derive(Clone)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) software: Software,
    pub(crate) labels: Labels,
    pub(crate) environment: Vec<(String, String)>,
    /// The id of its network.
    pub(crate) network: String,
    /// Its names in its network.
    pub(crate) aliases: Vec<String>,
    /// Names of the machine that Complement runs on.
    pub(crate) host_names: Vec<String>,
    pub(crate) address: Ipv4Addr,
    /// Where Complement reaches it on 127.0.0.1, while it runs.
    pub(crate) ports: Option<Ports>,
    pub(crate) state: State,
    pub(crate) folder: PathBuf,
    pub(crate) process: Arc<Mutex<Option<Child>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) clients: u16,
    pub(crate) federation: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Created,
    Running,
    Paused,
    Exited,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Exited => "exited",
        }
    }

    /// Whether there is a process. As in Docker, a paused container runs.
    pub(crate) fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

impl World {
    /// 64 hexadecimal digits that were no id before.
    pub(crate) fn new_id(&mut self) -> String {
        self.last_id += 1;
        // Clients shorten ids to their first digits.
        format!("{:012x}{:052x}", self.last_id, 0)
    }

    pub(crate) fn add_image(&mut self, image: Image) {
        // As a tag does: a newer image takes the name of an older one.
        self.images.retain(|_, other| other.reference != image.reference);
        self.images.insert(image.id.clone(), image);
    }

    pub(crate) fn image(&self, wanted: &str) -> Result<&Image, Error> {
        let id = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        self.images
            .get(id)
            .or_else(|| self.images.values().find(|image| image.reference == wanted))
            .ok_or_else(|| Error::NotFound("image", wanted.to_owned()))
    }

    pub(crate) fn images(&self, selection: &Selection) -> Vec<Image> {
        self.images.values().filter(|image| selection.matches(&image.labels)).cloned().collect()
    }

    pub(crate) fn remove_image(&mut self, wanted: &str) -> Result<Image, Error> {
        let id = self.image(wanted)?.id.clone();
        self.images.remove(&id).ok_or(Error::NotFound("image", id))
    }

    pub(crate) fn add_network(&mut self, network: Network) -> Result<(), Error> {
        if self.networks.values().any(|other| other.name == network.name) {
            return Err(Error::Conflict(format!("there is a network {} already", network.name)));
        }
        self.networks.insert(network.id.clone(), network);
        Ok(())
    }

    pub(crate) fn network(&self, wanted: &str) -> Result<&Network, Error> {
        self.networks
            .get(wanted)
            .or_else(|| self.networks.values().find(|network| network.name == wanted))
            .ok_or_else(|| Error::NotFound("network", wanted.to_owned()))
    }

    pub(crate) fn networks(&self, selection: &Selection) -> impl Iterator<Item = &Network> {
        self.networks.values().filter(|network| selection.matches(&network.labels))
    }

    /// A network in which something runs stays.
    pub(crate) fn remove_network(&mut self, wanted: &str) -> Result<Network, Error> {
        let id = self.network(wanted)?.id.clone();
        let is_used =
            |container: &Container| container.network == id && container.state.is_running();
        if self.containers.values().any(is_used) {
            return Err(Error::Conflict(format!("network {wanted} has running containers")));
        }
        self.networks.remove(&id).ok_or(Error::NotFound("network", id))
    }

    pub(crate) fn add_container(&mut self, container: Container) -> Result<(), Error> {
        if self.containers.values().any(|other| other.name == container.name) {
            return Err(Error::Conflict(format!("the name {} is in use", container.name)));
        }
        self.containers.insert(container.id.clone(), container);
        Ok(())
    }

    pub(crate) fn container(&self, wanted: &str) -> Result<&Container, Error> {
        let name = wanted.strip_prefix('/').unwrap_or(wanted);
        self.containers
            .get(wanted)
            .or_else(|| self.containers.values().find(|container| container.name == name))
            .ok_or_else(|| Error::NotFound("container", wanted.to_owned()))
    }

    pub(crate) fn containers(&self, selection: &Selection, all: bool) -> Vec<Container> {
        let is_meant = |container: &&Container| {
            (all || container.state.is_running()) && selection.matches(&container.labels)
        };
        self.containers.values().filter(is_meant).cloned().collect()
    }

    /// Notes what became of a container; nothing if it was removed meanwhile.
    pub(crate) fn set_state(&mut self, id: &str, state: State) {
        if let Some(container) = self.containers.get_mut(id) {
            container.state = state;
            if !state.is_running() {
                container.ports = None;
            }
        }
    }

    pub(crate) fn set_ports(&mut self, id: &str, ports: Ports) {
        if let Some(container) = self.containers.get_mut(id) {
            container.ports = Some(ports);
        }
    }

    pub(crate) fn remove_container(&mut self, id: &str) -> Option<Container> {
        self.containers.remove(id)
    }

    /// The ports on 127.0.0.1 that containers have now.
    pub(crate) fn ports(&self) -> BTreeSet<u16> {
        let ports = self.containers.values().filter_map(|container| container.ports);
        ports.flat_map(|ports| [ports.clients, ports.federation]).collect()
    }

    /// Where a name of a network leads, while somebody answers there.
    pub(crate) fn find(&self, network: &str, name: &str) -> Option<Ipv4Addr> {
        let mut running = self
            .containers
            .values()
            .rev()
            .filter(|container| container.network == network && container.state.is_running());
        running.find_map(|container| {
            if container.aliases.iter().any(|alias| alias == name) {
                return Some(container.address);
            }
            container.host_names.iter().any(|host| host == name).then_some(Ipv4Addr::LOCALHOST)
        })
    }
}

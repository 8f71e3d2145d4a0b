//! What the Docker API asks for, done with processes and folders.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

use crate::{
    error::Error,
    homeserver::{self, Software, Surroundings},
    labels::{Labels, Selection, label_change},
    loopback::Loopback,
    names::NameServer,
    world::{Container, Image, Network, Ports, State, World},
};

/// The image that stands for the binary that is tested.
pub(crate) const BASE_IMAGE: &str = "kontor";

/// See the module. Dropping it kills what runs.
pub(crate) struct Engine {
    world: Arc<Mutex<World>>,
    loopback: Loopback,
    /// Holds the folders of containers and images.
    folder: PathBuf,
    /// Where logs of removed containers are kept.
    logs: Option<PathBuf>,
}

/// How a container is to be.
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) labels: Labels,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) network: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) host_names: Vec<String>,
}

impl Engine {
    /// `images` are those from which everything begins, by their names.
    pub(crate) fn new(
        folder: &Path,
        images: Vec<(&str, Software)>,
        logs: Option<PathBuf>,
    ) -> io::Result<Self> {
        let mut world = World::default();
        for (name, software) in images {
            let (id, reference) = (world.new_id(), name.to_owned());
            let labels = Labels::new();
            world.add_image(Image { id, reference, labels, software, folder: None });
        }
        let loopback = Loopback::take()?;
        let folder = folder.to_owned();
        Ok(Self { world: Arc::new(Mutex::new(world)), loopback, folder, logs })
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) async fn create_network(
        &self,
        name: String,
        labels: Labels,
    ) -> Result<String, Error> {
        let id = self.world().new_id();
        let (world, network) = (Arc::downgrade(&self.world), id.clone());
        let find = move |name: &str| lock(&*world.upgrade()?).find(&network, name);
        let name_server = NameServer::start(self.loopback.address(), find).await?;
        self.world().add_network(Network { id: id.clone(), name, labels, name_server })?;
        Ok(id)
    }

    /// A container that does not run yet, with what its image left behind.
    pub(crate) async fn create(&self, plan: Plan) -> Result<String, Error> {
        let (container, image) = {
            let mut world = self.world();
            let image = world.image(&plan.image)?.clone();
            let network = world.network(&plan.network)?.id.clone();
            let id = world.new_id();
            let mut labels = image.labels.clone();
            labels.extend(plan.labels);
            let container = Container {
                folder: self.folder.join("containers").join(&id),
                id,
                name: plan.name,
                image: plan.image,
                software: image.software.clone(),
                labels,
                environment: plan.environment,
                network,
                aliases: plan.aliases,
                host_names: plan.host_names,
                address: self.loopback.address(),
                ports: None,
                state: State::Created,
                process: Arc::default(),
            };
            world.add_container(container.clone())?;
            (container, image)
        };
        fs::create_dir_all(&container.folder)?;
        if let Some(folder) = image.folder {
            copy(folder, container.folder).await?;
        }
        Ok(container.id)
    }

    pub(crate) async fn start(&self, wanted: &str) -> Result<(), Error> {
        let container = self.world().container(wanted)?.clone();
        let mut process = container.process.lock().await;
        if process.is_some() {
            return Ok(());
        }
        let server_name = container.environment.iter().find(|(key, _)| key == "SERVER_NAME");
        let (_, server_name) =
            server_name.ok_or_else(|| Error::Misunderstood("SERVER_NAME is not set".to_owned()))?;
        let (ports, name_server) = {
            let mut world = self.world();
            let ports = self.free_ports(&world)?;
            world.set_ports(&container.id, ports);
            (ports, world.network(&container.network)?.name_server.address)
        };
        let surroundings = Surroundings {
            folder: &container.folder,
            server_name,
            address: container.address,
            ports,
            name_server,
        };
        *process =
            Some(homeserver::start(&container.software, &surroundings, &container.environment)?);
        self.world().set_state(&container.id, State::Running);
        Ok(())
    }

    fn free_ports(&self, world: &World) -> io::Result<Ports> {
        let mut taken = world.ports();
        let clients = self.loopback.port(&taken)?;
        taken.insert(clients);
        Ok(Ports { clients, federation: self.loopback.port(&taken)? })
    }

    /// Asks the homeserver to end, and ends it if it has not after `patience`.
    pub(crate) async fn stop(&self, wanted: &str, patience: Duration) -> Result<(), Error> {
        let container = self.world().container(wanted)?.clone();
        let mut process = container.process.lock().await;
        if let Some(child) = process.as_mut() {
            signal(child, Signal::CONT)?;
            signal(child, Signal::TERM)?;
            if tokio::time::timeout(patience, child.wait()).await.is_err() {
                end(child).await?;
            }
        }
        self.note_end(&container, &mut process);
        Ok(())
    }

    pub(crate) async fn kill(&self, wanted: &str) -> Result<(), Error> {
        let container = self.world().container(wanted)?.clone();
        let mut process = container.process.lock().await;
        if let Some(child) = process.as_mut() {
            end(child).await?;
        }
        self.note_end(&container, &mut process);
        Ok(())
    }

    /// Pauses or goes on.
    pub(crate) async fn pause(&self, wanted: &str, pause: bool) -> Result<(), Error> {
        let container = self.inspect(wanted).await?;
        let (from, to, sent) = if pause {
            (State::Running, State::Paused, Signal::STOP)
        } else {
            (State::Paused, State::Running, Signal::CONT)
        };
        if container.state != from {
            let state = container.state.name();
            return Err(Error::Conflict(format!("container {wanted} is {state}")));
        }
        if let Some(child) = container.process.lock().await.as_ref() {
            signal(child, sent)?;
        }
        self.world().set_state(&container.id, to);
        Ok(())
    }

    /// The container as it is now: its process may have ended by itself.
    pub(crate) async fn inspect(&self, wanted: &str) -> Result<Container, Error> {
        let container = self.world().container(wanted)?.clone();
        let mut process = container.process.lock().await;
        if let Some(child) = process.as_mut()
            && child.try_wait()?.is_some()
        {
            self.note_end(&container, &mut process);
        }
        drop(process);
        Ok(self.world().container(&container.id)?.clone())
    }

    fn note_end(&self, container: &Container, process: &mut Option<Child>) {
        if process.take().is_some() {
            self.world().set_state(&container.id, State::Exited);
        }
    }

    pub(crate) async fn remove(&self, wanted: &str, force: bool) -> Result<(), Error> {
        let container = self.inspect(wanted).await?;
        if container.state.is_running() && !force {
            return Err(Error::Conflict(format!("container {wanted} runs")));
        }
        self.kill(&container.id).await?;
        if let Some(logs) = &self.logs {
            let log = container.folder.join(homeserver::LOG);
            if log.exists() {
                fs::create_dir_all(logs)?;
                fs::copy(log, logs.join(format!("{}.log", container.name.replace('/', "_"))))?;
            }
        }
        self.world().remove_container(&container.id);
        remove_folder(container.folder).await
    }

    /// Puts the files of a tar archive into a container.
    pub(crate) fn upload(&self, wanted: &str, path: &str, archive: &[u8]) -> Result<(), Error> {
        let container = self.world().container(wanted)?.clone();
        let folder = container.folder.join(path.trim_start_matches('/'));
        fs::create_dir_all(&folder)?;
        let mut archive = tar::Archive::new(archive);
        // Names that lead out of the folder are left out by `unpack`; a leading slash is not one.
        Ok(archive.unpack(folder)?)
    }

    pub(crate) fn log(&self, wanted: &str) -> Result<Vec<u8>, Error> {
        let log = self.world().container(wanted)?.folder.join(homeserver::LOG);
        if log.exists() { Ok(fs::read(log)?) } else { Ok(Vec::new()) }
    }

    /// Makes an image of a container, with changed labels.
    pub(crate) async fn commit(
        &self,
        wanted: &str,
        reference: String,
        changes: &[String],
    ) -> Result<String, Error> {
        let container = self.inspect(wanted).await?;
        let mut labels = container.labels.clone();
        for change in changes {
            let (key, value) = label_change(change)?;
            labels.insert(key, value);
        }
        let id = self.world().new_id();
        let folder = self.folder.join("images").join(&id);
        let runs = container.state == State::Running;
        if runs {
            self.pause(wanted, true).await?;
        }
        let copied = copy(container.folder.clone(), folder.clone()).await;
        if runs {
            self.pause(wanted, false).await?;
        }
        copied?;
        let (software, folder) = (container.software, Some(folder));
        self.world().add_image(Image { id: id.clone(), reference, labels, software, folder });
        Ok(id)
    }

    pub(crate) async fn remove_image(&self, wanted: &str) -> Result<String, Error> {
        let image = self.world().remove_image(wanted)?;
        if let Some(folder) = image.folder {
            remove_folder(folder).await?;
        }
        Ok(image.id)
    }

    /// Ends everything that still runs.
    pub(crate) async fn clear(&self) {
        // Outside of the loop's head, where the lock would be held as long as the loop lasts.
        let containers = self.world().containers(&Selection::default(), true);
        for container in containers {
            if let Err(error) = self.remove(&container.id, true).await {
                eprintln!("complement-engine: {}: {error}", container.name);
            }
        }
    }
}

/// Nothing panics while it holds the world, so a poisoned lock is as good as another.
fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// To a process and those that it has started, which are of its group.
fn signal(child: &Child, signal: Signal) -> Result<(), Error> {
    // Without an id it has ended, and was waited for.
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(id) = id else { return Ok(()) };
    kill_process_group(id, signal).map_err(|error| Error::System(error.into()))
}

async fn end(child: &mut Child) -> Result<(), Error> {
    signal(child, Signal::KILL)?;
    child.wait().await?;
    Ok(())
}

async fn copy(from: PathBuf, to: PathBuf) -> Result<(), Error> {
    fn walk(from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
            if kind.is_dir() {
                walk(&entry.path(), &target)?;
            } else if kind.is_file() && entry.file_name() != homeserver::LOG {
                fs::copy(entry.path(), target)?;
            }
        }
        Ok(())
    }
    let copied = tokio::task::spawn_blocking(move || walk(&from, &to)).await;
    Ok(copied.map_err(io::Error::other)??)
}

async fn remove_folder(folder: PathBuf) -> Result<(), Error> {
    Ok(tokio::fs::remove_dir_all(folder).await?)
}

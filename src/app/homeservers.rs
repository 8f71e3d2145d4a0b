//! All homeservers of the process: found by name, opened when they are first needed, created and
//! deleted while the others run.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::Router;
use kv::{Batch, BatchId, CommitError, HomeserverId, Snapshot, Store, StoreError};
use parking_lot::RwLock;
use ruma::{OwnedServerName, ServerName};
use services::identity::{self, IdentityError};
use store::directory::{self, DIRECTORY, Entry, Standing};
use tokio::sync::{Mutex, OnceCell};

use super::{App, OpenError, Shared, StartError, archive, homeserver, homeserver::Open, router};

/// See the module.
pub(crate) struct Homeservers {
    shared: Arc<Shared>,
    directory: Store,
    slots: RwLock<BTreeMap<OwnedServerName, Arc<Slot>>>,
    /// Further host names, from the configuration, in lower case and without port.
    hosts: HashMap<String, OwnedServerName>,
    /// How they reach each other: opens the one that is called.
    siblings: Router,
    /// Held while an id is drawn for a new homeserver.
    entering: Mutex<()>,
}

struct Slot {
    id: HomeserverId,
    open: OnceCell<Open>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    #[error("there is a homeserver of this name already")]
    Exists,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteError {
    #[error("there is no homeserver of this name")]
    Unknown,
    #[error("its files in {}: {cause}", folder.display())]
    Files { folder: PathBuf, cause: io::Error },
    #[error(transparent)]
    Commit(#[from] CommitError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    #[error("there is no homeserver of this name")]
    Unknown,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("there is no homeserver of this name")]
    Unknown,
    #[error(transparent)]
    Archive(#[from] archive::ArchiveError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error(transparent)]
    Archive(#[from] archive::ArchiveError),
    #[error(transparent)]
    Create(#[from] CreateError),
}

impl Homeservers {
    /// Reads the directory, and creates what the configuration names and the store does not hold.
    pub(crate) async fn start(shared: Arc<Shared>) -> Result<Arc<Self>, StartError> {
        let directory = Store::new(shared.engine.clone(), DIRECTORY);
        let found = directory.read(directory::homeservers).await?;
        let mut hosts = HashMap::new();
        for configured in &shared.config.homeservers {
            let client = configured.client_url.iter().filter_map(|url| url.host_str());
            let federation = configured.federation_address.iter().map(|name| name.host());
            let further = configured.hosts.iter().map(String::as_str);
            for host in further.chain(client).chain(federation) {
                hosts.insert(host.to_owned(), configured.server_name.clone());
            }
        }
        let homeservers = Arc::new_cyclic(|this| Self {
            siblings: router::siblings(this.clone()),
            shared,
            directory,
            slots: RwLock::default(),
            hosts,
            entering: Mutex::default(),
        });
        for (name, entry) in found {
            homeservers.take_in(&name, entry).await?;
        }
        for configured in homeservers.shared.config.homeservers.clone() {
            let name = configured.server_name;
            match homeservers.create(&name).await {
                Ok(()) | Err(CreateError::Exists) => {}
                Err(cause) => {
                    return Err(StartError::Create { name: name.to_string(), cause });
                }
            }
        }
        Ok(homeservers)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn names(&self) -> Vec<OwnedServerName> {
        self.slots.read().keys().cloned().collect()
    }

    /// The homeserver of this name, opened if it was not.
    pub(crate) async fn get(&self, name: &ServerName) -> Result<Option<App>, OpenError> {
        Ok(self.open(name).await?.map(|open| open.app))
    }

    /// Which homeserver a host name or a name in a TLS handshake means.
    pub(crate) fn named(&self, host: &str) -> Option<OwnedServerName> {
        let slots = self.slots.read();
        let known = |name: &str| {
            let name = <&ServerName>::try_from(name).ok()?;
            slots.get_key_value(name).map(|(name, _)| name.clone())
        };
        let bare = without_port(host);
        let configured = || self.hosts.get(host).or_else(|| self.hosts.get(bare)).cloned();
        // `acme.example:8448` may be asked for as such, or on another port as `acme.example`.
        let on_any_port = || slots.keys().find(|name| without_port(name.as_str()) == bare).cloned();
        known(host).or_else(|| known(bare)).or_else(configured).or_else(on_any_port)
    }

    /// The homeserver, if there is exactly one.
    pub(crate) fn only(&self) -> Option<OwnedServerName> {
        let slots = self.slots.read();
        if slots.len() == 1 { slots.keys().next().cloned() } else { None }
    }

    /// Creates a homeserver with new keys.
    pub(crate) async fn create(&self, name: &OwnedServerName) -> Result<(), CreateError> {
        let id = self.enter(name).await?;
        homeserver::found(&self.shared, name, id).await?;
        self.activate(name, id).await?;
        tracing::info!(homeserver = %name, "homeserver created");
        Ok(())
    }

    /// Lets a homeserver sign with a new key from now on; answers the key's id.
    pub(crate) async fn rotate_key(&self, name: &ServerName) -> Result<String, RotateError> {
        let app = self.get(name).await?.ok_or(RotateError::Unknown)?;
        let key = identity::rotate(&app.services.context).await?;
        tracing::info!(homeserver = %name, key_id = %key.key_id(), "signing key replaced");
        Ok(key.key_id().to_string())
    }

    /// Closes a homeserver and removes everything of it.
    pub(crate) async fn delete(&self, name: &ServerName) -> Result<(), DeleteError> {
        let slot = self.slots.write().remove(name).ok_or(DeleteError::Unknown)?;
        self.shared.transport.close(name);
        if let Some(open) = slot.open.get() {
            open.close().await;
        }
        self.erase(name.as_str(), slot.id).await?;
        tracing::info!(homeserver = %name, "homeserver deleted");
        Ok(())
    }

    /// Ends the workers of all homeservers. The process is about to stop.
    pub(crate) async fn close(&self) {
        let slots: Vec<_> = self.slots.read().values().cloned().collect();
        let open = slots.iter().filter_map(|slot| slot.open.get());
        futures_util::future::join_all(open.map(Open::close)).await;
    }

    /// Writes everything of a homeserver into a file.
    pub(crate) async fn export(&self, name: &ServerName, file: &Path) -> Result<(), ExportError> {
        let id = self.slots.read().get(name).map(|slot| slot.id).ok_or(ExportError::Unknown)?;
        let source = archive::Source {
            engine: self.shared.engine.clone(),
            id,
            server_name: name.to_owned(),
            media: self.shared.media_folder(id),
            exported_ms: self.shared.clock.now_ms(),
        };
        let file = file.to_owned();
        archive::blocking(move || archive::write(&source, &file)).await?;
        Ok(())
    }

    /// Reads a homeserver back from a file. Its name must be free.
    pub(crate) async fn import(&self, file: &Path) -> Result<OwnedServerName, ImportError> {
        let path = file.to_owned();
        let checked = archive::blocking(move || archive::check(&path)).await?;
        let name = checked.server_name.clone();
        let id = self.enter(&name).await?;
        let target = archive::Target {
            engine: self.shared.engine.clone(),
            ids: self.shared.ids.clone(),
            id,
            media: self.shared.media_folder(id),
        };
        if let Err(error) = archive::read(checked, target).await {
            self.give_up(&name, id).await;
            return Err(error.into());
        }
        self.activate(&name, id).await?;
        tracing::info!(homeserver = %name, "homeserver imported");
        Ok(name)
    }

    /// Gives back what deleted and overwritten rows of all homeservers take on disk.
    pub(crate) async fn compact(&self) -> Result<(), StoreError> {
        let engine = self.shared.engine.clone();
        match tokio::task::spawn_blocking(move || engine.compact()).await {
            Ok(compacted) => compacted,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    async fn open(&self, name: &ServerName) -> Result<Option<Open>, OpenError> {
        let Some((name, slot)) = self.slot(name) else { return Ok(None) };
        let open = slot.open.get_or_try_init(|| Open::new(&self.shared, &name, slot.id)).await?;
        Ok(Some(open.clone()))
    }

    fn slot(&self, name: &ServerName) -> Option<(OwnedServerName, Arc<Slot>)> {
        let slots = self.slots.read();
        slots.get_key_value(name).map(|(name, slot)| (name.clone(), slot.clone()))
    }

    /// What the directory says at the start. Whatever a crash left half-made is removed.
    async fn take_in(&self, name: &str, entry: Entry) -> Result<(), StartError> {
        let id = HomeserverId(entry.id);
        match (OwnedServerName::try_from(name.to_owned()), entry.standing) {
            (Ok(name), Standing::Active) => self.add_slot(name, id),
            (Ok(_), Standing::Partial) => {
                tracing::warn!(homeserver = name, "removing what is left of a homeserver");
                if let Err(error) = self.erase(name, id).await {
                    tracing::error!(homeserver = name, %error, "it could not be removed");
                }
            }
            (Err(error), _) => {
                tracing::error!(homeserver = name, %error, "the store holds an invalid name");
            }
        }
        Ok(())
    }

    /// Takes the name and a new id; nobody can use them yet.
    async fn enter(&self, name: &OwnedServerName) -> Result<HomeserverId, CreateError> {
        if self.slots.read().contains_key(name) {
            return Err(CreateError::Exists);
        }
        // Or two would be given the same id.
        let _alone = self.entering.lock().await;
        let wanted = name.clone();
        let gather = move |rows: &Snapshot| {
            let found = directory::homeserver(rows, wanted.as_str())?;
            Ok::<_, StoreError>((found, directory::next_id(rows)?))
        };
        let (found, next) = self.directory.read(gather).await?;
        if found.is_some() {
            return Err(CreateError::Exists);
        }
        let mut batch = self.batch();
        directory::add(&mut batch, name.as_str(), Entry { id: next, standing: Standing::Partial });
        match self.directory.commit(batch).await {
            Ok(_) => Ok(HomeserverId(next)),
            Err(CommitError::Precondition(_)) => Err(CreateError::Exists),
            Err(error) => Err(error.into()),
        }
    }

    async fn activate(&self, name: &OwnedServerName, id: HomeserverId) -> Result<(), CreateError> {
        let mut batch = self.batch();
        let entry = Entry { id: id.0, standing: Standing::Active };
        directory::replace(&mut batch, name.as_str(), entry);
        self.directory.commit(batch).await?;
        self.add_slot(name.clone(), id);
        Ok(())
    }

    async fn erase(&self, name: &str, id: HomeserverId) -> Result<(), DeleteError> {
        let mut batch = self.batch();
        directory::replace(&mut batch, name, Entry { id: id.0, standing: Standing::Partial });
        self.directory.commit(batch).await?;
        self.shared.engine.erase(id).await?;
        let folder = self.shared.media_folder(id);
        match fs::remove_dir_all(&folder) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(DeleteError::Files { folder, cause });
            }
            _ => {}
        }
        let mut batch = self.batch();
        directory::remove(&mut batch, name);
        self.directory.commit(batch).await?;
        Ok(())
    }

    /// Removes what an import has written so far.
    async fn give_up(&self, name: &ServerName, id: HomeserverId) {
        if let Err(error) = self.erase(name.as_str(), id).await {
            tracing::error!(homeserver = %name, %error, "left for the next start to remove");
        }
    }

    fn add_slot(&self, name: OwnedServerName, id: HomeserverId) {
        self.shared.transport.open(name.clone(), self.siblings.clone());
        self.slots.write().insert(name, Arc::new(Slot { id, open: OnceCell::new() }));
    }

    fn batch(&self) -> Batch {
        Batch::new(BatchId(self.shared.ids.batch_id()))
    }
}

impl Shared {
    /// Where a homeserver's files are kept.
    pub(crate) fn media_folder(&self, id: HomeserverId) -> PathBuf {
        self.config.data_dir.join("media").join(id.0.to_string())
    }
}

/// A host without its port; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests;

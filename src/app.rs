//! The process, wired together: the engine, what all homeservers share, and the homeservers.

mod appservices;
mod archive;
mod homeserver;
mod homeservers;
mod router;
mod settings;

use std::{fs, io, path::PathBuf, sync::Arc};

use federation::{discovery::Discovery, transport::Transport};
use kv::{Engine, RocksEngine, RocksOptions, StoreError};
use model::{clock::Clock, ids::Ids};
use services::{
    accounts::RegistrationPolicy,
    media::MediaSettings,
    passwords::{Cost, PasswordError, Passwords},
    sessions::TokenLifetimes,
    turn::TurnSettings,
    turns::Writers,
    user_directory::Scope,
};
use tokio_util::sync::CancellationToken;
use web::outbound::{AddressPolicy, Outbound, OutboundSettings, TlsError};

pub(crate) use self::{
    appservices::{Appservices, AppservicesError},
    homeserver::{App, OpenError},
    homeservers::{CreateError, Homeservers},
    router::{of_client, router},
    settings::{Act, Limits, Settings},
};
use crate::config::Config;

/// What the process has once, whatever number of homeservers it holds.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) settings: Arc<Settings>,
    pub(crate) limits: Arc<Limits>,
    /// Without appservices, which each homeserver has its own of.
    pub(crate) services: services::Settings,
    pub(crate) appservices: Appservices,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) writers: Writers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    /// How the homeservers reach each other, and others.
    pub(crate) transport: Arc<Transport>,
    /// How pages are fetched that users link to.
    pub(crate) outbound: Outbound,
    /// Cancelled when the process is to stop: who waits for something long ends its wait.
    pub(crate) drain: CancellationToken,
}

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("federation.extra_ca_file {}: {cause}", file.display())]
    ExtraCa { file: PathBuf, cause: io::Error },
    #[error(transparent)]
    Appservices(#[from] AppservicesError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Passwords(#[from] PasswordError),
    #[error("homeserver {name} of the configuration: {cause}")]
    Create { name: String, cause: CreateError },
}

/// Opens the store on disk. Blocks.
pub(crate) fn open_store(
    config: &Config,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Engine>, StoreError> {
    let options = RocksOptions::new(Arc::new(move || clock.now_ms() / 1_000));
    let engine = RocksEngine::open(config.data_dir.join("store"), store::TABLES, options)?;
    Ok(Arc::new(engine))
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<Arc<Self>, StartError> {
        let extra_roots_pem = match &config.federation.extra_ca_file {
            Some(file) => {
                fs::read(file).map_err(|cause| StartError::ExtraCa { file: file.clone(), cause })?
            }
            None => Vec::new(),
        };
        let policy = AddressPolicy {
            allow_private: config.outbound.allow_private_addresses,
            exceptions: config.outbound.allow_networks.clone(),
        };
        let name_server = config.outbound.name_server;
        let outbound = Outbound::new(OutboundSettings { policy, extra_roots_pem, name_server })?;
        let transport = if config.federation.enabled {
            let discovery = Discovery::new(outbound.clone(), clock.clone(), ids.clone());
            Transport::new(outbound.clone(), discovery)
        } else {
            Transport::within_process()
        };
        Ok(Arc::new(Self {
            settings: Arc::new(Settings::new(&config)),
            limits: Arc::new(Limits::new(&config.rate_limits)),
            services: service_settings(&config, &ids)?,
            appservices: Appservices::load(&config)?,
            engine,
            writers: Writers::default(),
            clock,
            ids,
            transport,
            outbound,
            drain: CancellationToken::new(),
            config,
        }))
    }
}

fn service_settings(
    config: &Config,
    ids: &Arc<dyn Ids>,
) -> Result<services::Settings, PasswordError> {
    // As many passwords at once as there are processors: more would only take memory.
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(services::Settings {
        registration: RegistrationPolicy {
            open: config.registration.enabled,
            tokens: config.registration.tokens.clone(),
            shared_secret: config.registration.shared_secret.clone().unwrap_or_default(),
            ..RegistrationPolicy::default()
        },
        token_lifetimes: TokenLifetimes::default(),
        passwords: Arc::new(Passwords::new(Cost::RECOMMENDED, at_once, Arc::clone(ids))?),
        media: MediaSettings {
            upload_bytes_max: config.media.upload_bytes_max,
            remote_bytes_max: config.media.remote_bytes_max,
            // Each homeserver gets a folder of its own in here.
            ..MediaSettings::in_folder(config.data_dir.join("media"))
        },
        user_directory: match config.user_directory.search_all_users {
            true => Scope::Everybody,
            false => Scope::Acquaintances,
        },
        turn: TurnSettings {
            uris: config.turn.uris.clone(),
            shared_secret: config.turn.shared_secret.clone().unwrap_or_default(),
            lifetime_s: config.turn.ttl_s,
        },
        appservices: Vec::new(),
    })
}

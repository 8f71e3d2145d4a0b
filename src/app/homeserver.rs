//! One homeserver, open.

use std::{ops::Deref, sync::Arc};

use federation::{Federation, FederationSettings};
use http::request::Parts;
use kv::{CommitError, HomeserverId, Store, StoreError};
use model::signing_key::{InvalidKeyVersion, SigningKey};
use ruma::OwnedServerName;
use services::{Context, Services, identity::CurrentKey, log::Log, recent::RecentEvents};
use store::homeserver::{Identity, SigningSeed};
use tokio_util::sync::CancellationToken;

use web::outbound::Outbound;

use super::{Limits, Settings, Shared};
use crate::{workers, workers::Supervisor};

/// What every handler of the client API works with: the homeserver that was asked.
#[derive(Clone)]
pub(crate) struct App(Arc<Homeserver>);

impl App {
    /// The one that the request is for.
    pub(crate) fn of(parts: &Parts) -> Result<Self, web::Error> {
        let app = parts.extensions.get::<Self>().cloned();
        app.ok_or_else(|| web::Error::internal("a request without a homeserver"))
    }
}

/// See [`App`].
pub(crate) struct Homeserver {
    pub(crate) server_name: OwnedServerName,
    pub(crate) services: Arc<Services>,
    pub(crate) federation: Federation,
    pub(crate) settings: Arc<Settings>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) outbound: Outbound,
    /// Cancelled when the homeserver closes, and when the process drains.
    pub(crate) drain: CancellationToken,
}

/// An open homeserver with its surfaces. Off the list, it goes when its requests end.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) app: App,
    workers: Supervisor,
}

/// Why a homeserver cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the store has no identity for it")]
    NoIdentity,
    #[error("the store knows it as {0}")]
    OtherName(String),
    #[error(transparent)]
    Key(#[from] InvalidKeyVersion),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Deref for App {
    type Target = Homeserver;

    fn deref(&self) -> &Homeserver {
        &self.0
    }
}

impl Open {
    pub(super) async fn new(
        shared: &Shared,
        server_name: &OwnedServerName,
        id: HomeserverId,
    ) -> Result<Self, OpenError> {
        let context = context(shared, server_name, id).await?;
        let mut settings = shared.services.clone();
        settings.media.folder = shared.media_folder(id);
        settings.appservices = shared.appservices.of(server_name);
        let services = Arc::new(Services::new(context, settings));
        let federation = Federation::new(
            services.clone(),
            shared.transport.clone(),
            FederationSettings { notaries: shared.config.federation.notaries.clone() },
        );
        let drain = shared.drain.child_token();
        let app = App(Arc::new(Homeserver {
            server_name: server_name.clone(),
            services,
            federation,
            settings: shared.settings.clone(),
            limits: shared.limits.clone(),
            outbound: shared.outbound.clone(),
            drain: drain.clone(),
        }));
        let workers = Supervisor::new(drain);
        workers::of_homeserver(&app, &workers);
        Ok(Self { app, workers })
    }

    /// Ends the workers, waits for them, and writes what is only in memory.
    pub(super) async fn close(&self) {
        self.app.drain.cancel();
        self.workers.stopped().await;
        if let Err(error) = self.app.services.sessions.write_seen().await {
            tracing::error!(%error, "it cannot be written when devices were last seen");
        }
        self.app.federation.sender.keep().await;
        if let Err(error) = self.app.services.unread.persist().await {
            tracing::error!(%error, "unread counts cannot be written");
        }
        self.app.services.context.log.close();
    }
}

async fn context(
    shared: &Shared,
    server_name: &OwnedServerName,
    id: HomeserverId,
) -> Result<Context, OpenError> {
    let store = Store::new(shared.engine.clone(), id);
    let identity: Option<Identity> = store.read(store::homeserver::identity).await?;
    let identity = identity.ok_or(OpenError::NoIdentity)?;
    if identity.server_name != server_name.as_str() {
        return Err(OpenError::OtherName(identity.server_name));
    }
    let SigningSeed { version, seed } = identity.signing_key;
    let log = Arc::new(Log::open(store.clone())?);
    Ok(Context {
        server_name: server_name.clone(),
        signing_key: CurrentKey::new(SigningKey::from_seed(seed, &version)?),
        state_salt: identity.state_salt,
        turns: shared.writers.turns(id),
        recent: RecentEvents::following(&log),
        log,
        store,
        clock: shared.clock.clone(),
        ids: shared.ids.clone(),
    })
}

/// Draws the keys of a new homeserver and stores them.
pub(super) async fn found(
    shared: &Shared,
    server_name: &OwnedServerName,
    id: HomeserverId,
) -> Result<(), OpenError> {
    let key = SigningKey::generate(shared.ids.seed())?;
    let mut state_salt = [0; 16];
    shared.ids.fill(&mut state_salt);
    let identity = Identity {
        server_name: server_name.to_string(),
        signing_key: SigningSeed { version: key.version().to_owned(), seed: *key.seed() },
        old_keys: Vec::new(),
        state_salt,
        created_ms: shared.clock.now_ms(),
    };
    let store = Store::new(shared.engine.clone(), id);
    let mut batch = kv::Batch::new(kv::BatchId(shared.ids.batch_id()));
    store::homeserver::put_identity(&mut batch, &identity);
    store.commit(batch).await?;
    Ok(())
}

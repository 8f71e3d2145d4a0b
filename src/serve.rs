//! The life of the process: open, listen, serve, drain.

use std::{
    io, io::IsTerminal, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc,
    time::Duration,
};

use model::{clock::SystemClock, ids::SystemIds};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    admin::{self, Command, socket::AdminSocket},
    app::{AppservicesError, Homeservers, Shared, StartError, open_store, router},
    config::{Config, ConfigError},
    demo::DemoError,
    http::{ListenError, Listeners, QUIET_TIME},
    text,
    workers::{self, Supervisor},
};

/// How long what all workers do at first is a part of the start.
const FIRST_STEPS_TIME: Duration = Duration::from_secs(1);

/// Why the process could not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Appservices(#[from] AppservicesError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Store(#[from] kv::StoreError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("admin.socket {}: {cause}", path.display())]
    Socket { path: PathBuf, cause: io::Error },
    #[error("the standard input cannot be read: {0}")]
    Input(io::Error),
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
    #[error("no threads can be started: {0}")]
    Runtime(io::Error),
    #[error("the demonstration cannot start: {0}")]
    Demo(#[from] DemoError),
    #[error("{0}")]
    Refused(String),
}

/// A process that has opened its store and bound its sockets.
pub(crate) struct Server {
    pub(crate) homeservers: Arc<Homeservers>,
    listeners: Listeners,
    socket: AdminSocket,
}

/// Serves until a signal says to stop.
pub(crate) async fn serve(config: Config) -> Result<(), RunError> {
    log_to_stderr(&config);
    let stop = stop_signal().map_err(RunError::Signals)?;
    Server::start(config).await?.run(stop).await;
    Ok(())
}

impl Server {
    pub(crate) async fn start(config: Config) -> Result<Self, RunError> {
        let homeservers = open(config).await?;
        let shared = homeservers.shared().clone();
        let listeners = Listeners::bind(&shared.config.http, QUIET_TIME).await?;
        let path = &shared.config.admin.socket;
        let socket = AdminSocket::bind(path)
            .map_err(|cause| RunError::Socket { path: path.clone(), cause })?;
        announce(&shared, &listeners);
        Ok(Self { homeservers, listeners, socket })
    }

    /// Where the first plain and the first TLS listener are.
    pub(crate) fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let first = |addresses: Vec<SocketAddr>| addresses.first().copied();
        (first(self.listeners.plain_addresses()), first(self.listeners.tls_addresses()))
    }

    /// Serves until `stop`, and then until the requests in progress are answered.
    pub(crate) async fn run(self, stop: impl Future<Output = ()> + Send + 'static) {
        let Self { homeservers, listeners, socket } = self;
        let drain = homeservers.shared().drain.clone();
        let workers = Supervisor::new(drain.clone());
        workers::of_process(listeners.certificates().cloned(), &workers);
        let admin = tokio::spawn(socket.serve(homeservers.clone(), drain.clone()));
        let waking = tokio::spawn(wake(homeservers.clone(), drain.clone()));
        let stopping = drain.clone();
        tokio::spawn(async move {
            stop.await;
            tracing::info!("stopping");
            stopping.cancel();
        });
        listeners.serve(router(homeservers.clone()), drain).await;
        tokio::join!(workers.stopped(), homeservers.close());
        let _ = tokio::join!(admin, waking);
        tracing::info!("stopped");
    }
}

/// Does an order: through the process that runs on this configuration, or by opening its store.
pub(crate) async fn order(config: Config, command: Command) -> Result<Vec<String>, RunError> {
    let path = config.admin.socket.clone();
    let sent = admin::socket::send(&path, &command).await;
    let answer = match sent.map_err(|cause| RunError::Socket { path, cause })? {
        Some(answer) => answer,
        None => admin::execute(&*open(config).await?, command).await,
    };
    answer.map_err(RunError::Refused)
}

/// Opens the store and reads which homeservers it holds.
async fn open(config: Config) -> Result<Arc<Homeservers>, RunError> {
    let clock = Arc::new(SystemClock);
    let opening = {
        let (config, clock) = (config.clone(), clock.clone());
        tokio::task::spawn_blocking(move || open_store(&config, clock))
    };
    let engine = match opening.await {
        Ok(engine) => engine?,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    };
    let shared = Shared::new(config, engine, clock, Arc::new(SystemIds))?;
    Ok(Homeservers::start(shared).await?)
}

/// Opens all homeservers, one after the other, so that their workers run; those that are asked for
/// meanwhile are open sooner. Then the start is over.
async fn wake(homeservers: Arc<Homeservers>, drain: CancellationToken) {
    for name in homeservers.names() {
        if drain.is_cancelled() {
            return;
        }
        if let Err(error) = homeservers.get(&name).await {
            tracing::error!(homeserver = %name, %error, "it cannot be opened");
        }
    }
    let _ = drain.run_until_cancelled(sleep(FIRST_STEPS_TIME)).await;
    if let Err(error) = text::give_back() {
        tracing::debug!(%error, "the text of the start stays in memory");
    }
}

pub(crate) fn log_to_stderr(config: &Config) {
    let filter = EnvFilter::new(&config.log.filter);
    let colours = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    log.with_writer(io::stderr).init();
}

fn announce(shared: &Shared, listeners: &Listeners) {
    let registration = &shared.config.registration;
    if registration.enabled && registration.tokens.is_empty() {
        tracing::warn!("REGISTRATION IS OPEN: anybody who reaches this server can make an account");
    }
    if shared.config.outbound.allow_private_addresses {
        tracing::warn!("outbound calls to private addresses are allowed");
    }
    let (plain, tls) = (listeners.plain_addresses(), listeners.tls_addresses());
    tracing::info!(?plain, ?tls, version = env!("CARGO_PKG_VERSION"), "ready");
}

/// Resolves when the system or the terminal asks us to stop.
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// What the shell is told.
pub(crate) fn exit_code(result: Result<Vec<String>, RunError>) -> ExitCode {
    match result {
        Ok(lines) => {
            for line in lines {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", web::error::chain(&error));
            ExitCode::FAILURE
        }
    }
}

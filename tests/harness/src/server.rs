//! A homeserver process with its folder, names and ports.

use crate::{
    account::Account, authority::Authority, call::Http, kontor, link::Link, port::Port,
    process::Process, synapse, wait::within,
};
use reqwest::Method;
use serde_json::json;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// Generous, because Synapse makes its database first and the machine may be busy.
const START_PATIENCE: Duration = Duration::from_secs(90);
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// The secret of every server here, for registration by administrators.
pub const SHARED_SECRET: &str = "the secret of all test servers";

/// Whose software it is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Ours: the finished binary.
    Kontor(PathBuf),
    /// Synapse from PyPI.
    Synapse,
}

impl Kind {
    /// The server under test: Kontor, unless this run is a control against Synapse.
    pub fn under_test(kontor: &str) -> Self {
        if crate::target_is_synapse() { Self::Synapse } else { Self::Kontor(kontor.into()) }
    }
}

/// What may differ between servers.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many homeservers the process has from the start (Synapse: one).
    pub homeservers: u8,
    /// Do peers come through a wire that can be cut?
    pub linked: bool,
    /// Overrides of configuration keys: `KONTOR__SECTION__KEY`.
    pub environment: Vec<(String, String)>,
    /// An appservice of the first homeserver.
    pub appservice: Option<Appservice>,
}

/// An appservice that is not told of anything, with exclusive namespaces.
#[derive(Clone, Debug)]
pub struct Appservice {
    /// What it proves itself with.
    pub as_token: String,
    /// The localpart of its own user.
    pub sender: String,
    /// A regular expression of user ids.
    pub users: String,
    /// A regular expression of aliases.
    pub aliases: String,
}

impl Appservice {
    /// Writes the registration file: YAML, which has JSON in it.
    fn write(&self, path: &Path) {
        let space = |regex: &str| json!([{ "exclusive": true, "regex": regex }]);
        let registration = json!({
            "id": "bridge", "url": null, "as_token": self.as_token, "hs_token": "ours",
            "sender_localpart": self.sender, "rate_limited": false,
            "namespaces": {
                "users": space(&self.users), "aliases": space(&self.aliases), "rooms": [],
            },
        });
        let written = std::fs::create_dir_all(path.parent().expect("a folder"))
            .and_then(|()| std::fs::write(path, registration.to_string()));
        written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { homeservers: 1, linked: false, environment: Vec::new(), appservice: None }
    }
}

/// A homeserver process; it may be down at times.
#[derive(Debug)]
pub struct Server {
    /// The first field, because it shows its log when it is dropped: the folder goes later.
    process: Option<Process>,
    kind: Kind,
    options: Options,
    authority: Arc<Authority>,
    folder: TempDir,
    names: Vec<String>,
    plain: Port,
    tls: Port,
    link: Option<Link>,
}

impl Server {
    /// Prepares a server that is not running yet.
    pub fn new(kind: Kind, authority: &Arc<Authority>, options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder for a server");
        let (plain, tls) = (Port::lease(), Port::lease());
        let link = options.linked.then(|| Link::to(tls.number()));
        let port = link.as_ref().map_or(tls.number(), Link::port);
        let names = (1..=options.homeservers).map(|n| format!("127.0.0.{n}:{port}")).collect();
        let authority = Arc::clone(authority);
        let server =
            Self { kind, options, authority, folder, names, plain, tls, link, process: None };
        if let Some(appservice) = &server.options.appservice {
            appservice.write(&server.appservice_file());
        }
        match &server.kind {
            Kind::Kontor(_) => kontor::configure(&server),
            Kind::Synapse => synapse::configure(&server),
        }
        server
    }

    /// Starts a server and waits until it answers.
    pub async fn started(kind: Kind, authority: &Arc<Authority>, options: Options) -> Self {
        let mut server = Self::new(kind, authority, options);
        server.start().await;
        server
    }

    /// Starts the process.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        self.process = Some(Process::start(self.serve_command(), &self.folder().join("log")));
    }

    /// Starts the process and waits until it answers.
    pub async fn start(&mut self) {
        self.launch();
        let http = self.http(&self.names[0]);
        within(START_PATIENCE, "the server answers", async || {
            let process = self.process.as_mut().expect("it was just started");
            let ended = process.ended();
            assert!(ended.is_none(), "the server ended: {ended:?}\n{}", process.last_words());
            let versions = http.call(Method::GET, &["_matrix", "client", "versions"]);
            versions.attempt().await.ok().filter(|answer| answer.status.is_success())
        })
        .await;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Stops it the polite way.
    pub async fn stop(&mut self) -> ExitStatus {
        self.process.take().expect("it runs").terminate(STOP_PATIENCE).await
    }

    /// The running process.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// The command that serves.
    pub fn serve_command(&self) -> Command {
        match &self.kind {
            Kind::Kontor(_) => self.kontor_command(&["serve"]),
            Kind::Synapse => synapse::command(self),
        }
    }

    /// A command of our binary, with this server's configuration.
    pub fn kontor_command(&self, arguments: &[&str]) -> Command {
        let Kind::Kontor(binary) = &self.kind else { panic!("this is not a Kontor") };
        let mut command = Command::new(binary);
        command.args(arguments).arg("--config").arg(self.config_file());
        command.current_dir(self.folder());
        command.envs(self.options.environment.iter().cloned());
        command
    }

    /// Runs a command of our binary to its end; it must succeed.
    pub fn kontor(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = crate::run(self.kontor_command(arguments));
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "kontor {arguments:?}: {status}\n{stderr}");
        String::from_utf8_lossy(&stdout).into()
    }

    /// The first homeserver's name.
    pub fn name(&self) -> &str {
        &self.names[0]
    }

    /// The names of the homeservers that it had from the start.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A name for one more homeserver of this process.
    pub fn new_name(&self, number: u8) -> String {
        format!("127.0.1.{number}:{}", self.public_port())
    }

    /// Registers a person at the first homeserver.
    pub async fn register(&self, localpart: &str) -> Account {
        self.register_at(self.name(), localpart).await
    }

    /// Registers a person at one of the process's homeservers.
    pub async fn register_at(&self, name: &str, localpart: &str) -> Account {
        Account::register(self.http(name), localpart).await
    }

    /// A request of nobody in particular, to the first homeserver.
    pub fn call(&self, method: Method, path: &[&str]) -> crate::Call {
        self.call_at(self.name(), method, path)
    }

    /// A request of nobody in particular.
    pub fn call_at(&self, name: &str, method: Method, path: &[&str]) -> crate::Call {
        self.http(name).call(method, path)
    }

    /// The wire through which peers come.
    pub fn link(&self) -> &Link {
        self.link.as_ref().expect("a server with a link")
    }

    /// The certificates of this test.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The folder with configuration, data and log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder().join("config")
    }

    /// Where the appservice of the options is registered.
    pub(crate) fn appservice_file(&self) -> PathBuf {
        self.folder().join("appservices").join(self.name()).join("bridge.yaml")
    }

    /// Whether there is one.
    pub(crate) fn has_appservice(&self) -> bool {
        self.options.appservice.is_some()
    }

    /// The port for clients, without TLS.
    pub fn plain_port(&self) -> u16 {
        self.plain.number()
    }

    /// The port with TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls.number()
    }

    fn public_port(&self) -> u16 {
        self.link.as_ref().map_or(self.tls_port(), Link::port)
    }

    /// Where clients connect, without TLS.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.plain_port()))
    }

    fn http(&self, name: &str) -> Http {
        Http::new(&self.base(), name)
    }

    /// Where clients reach it.
    pub fn base(&self) -> String {
        format!("http://{}", self.address())
    }
}

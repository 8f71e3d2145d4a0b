//! The processes that all cases share.

use harness::{Authority, Http, Kind, Options, Server, target_is_synapse};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The most homeservers that one case plays with, where they are shared.
const SHARED: usize = 3;
/// Hosts in one network of the servers' certificate.
const HOSTS: usize = 120;
/// Networks for companies, after the two that other tests use.
const NETWORKS: u8 = 12;

/// The running servers.
#[derive(Debug)]
pub struct Theatre {
    servers: Vec<Server>,
    kind: Kind,
    authority: Arc<Authority>,
    http: Http,
    /// Do cases share homeservers, and only their users are fresh?
    shared: bool,
    made: AtomicUsize,
}

impl Theatre {
    /// Starts what the cases need.
    pub async fn open(kontor: &Path, shared: bool) -> Self {
        let kind = if target_is_synapse() { Kind::Synapse } else { Kind::Kontor(kontor.into()) };
        let authority = Arc::new(Authority::of_networks(NETWORKS));
        let mut servers = Vec::new();
        if target_is_synapse() {
            let start = || Server::started(kind.clone(), &authority, Options::default());
            servers.extend(<[Server; SHARED]>::from(tokio::join!(start(), start(), start())));
        } else {
            let homeservers = if shared { SHARED as u8 } else { 1 };
            let options = Options { homeservers, ..Options::default() };
            servers.push(Server::started(kind.clone(), &authority, options).await);
        }
        let http = Http::trusting(&authority, &servers[0].base(), servers[0].name());
        let shared = shared || target_is_synapse();
        Self { servers, kind, authority, http, shared, made: AtomicUsize::new(0) }
    }

    /// Name, base URL and suffix of localparts for the `nth` company of some case.
    pub async fn company(&self, nth: usize) -> (String, String, String) {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        if self.shared {
            let server = &self.servers[nth % self.servers.len()];
            let name = &server.names()[nth % server.names().len()];
            return (name.clone(), server.base(), format!("-{made}"));
        }
        let server = &self.servers[0];
        let (network, host) = (2 + made / HOSTS, 1 + made % HOSTS);
        assert!(network < NETWORKS.into(), "the certificate has no more addresses");
        let name = format!("127.0.{network}.{host}:{}", server.tls_port());
        let mut command = server.kontor_command(&["homeserver", "create", &name]);
        let created = tokio::task::spawn_blocking(move || command.output()).await;
        let created = created.expect("it does not panic").expect("the command can be started");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        (name, server.base(), String::new())
    }

    /// The one HTTP client of the suite.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// A process with one homeserver, besides the shared ones.
    pub async fn another_process(&self) -> Server {
        self.another_process_with(Options::default()).await
    }

    /// The same with something else than usual.
    pub async fn another_process_with(&self, options: Options) -> Server {
        Server::started(self.kind.clone(), &self.authority, options).await
    }

    /// What makes the certificates of peers good.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// Shows what the servers said last, when a case failed.
    pub fn show_logs(&self) {
        for server in &self.servers {
            println!("--- the last lines of {}\n{}", server.name(), server.process().last_words());
        }
    }
}

//! Listening: plain and TLS sockets, limits on connections, and an orderly end.
//!
//! Who holds a connection open without saying anything loses it: the handshake, the head of a
//! request and the pause between two pieces of a body or of an answer each have a deadline.

mod connection;
mod deadline;
mod limit;
pub(crate) mod origin;
mod parking;
mod prompt;
mod replay;
pub(crate) mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::{
    connection::Connection,
    origin::{Origin, TrustedProxies},
    parking::LongPoll,
};
use self::{limit::ConnectionLimit, tls::Certificates};
use crate::config::HttpConfig;

/// Time that requests in progress get to end when the server stops.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(8);
/// Pause after the system refused to accept, so that we do not spin when it is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a request has waited for news before it gives back the buffers of its connection: long
/// enough that nobody is parked among whom there is a conversation.
pub(crate) const QUIET_TIME: Duration = Duration::from_secs(1);

/// Sockets that are bound, but do not serve yet.
pub(crate) struct Listeners {
    plain: Vec<TcpListener>,
    tls: Vec<(TcpListener, TlsAcceptor)>,
    certificates: Option<Certificates>,
    limit: Arc<ConnectionLimit>,
    quiet: Duration,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("cannot listen on {address}: {cause}")]
    Bind { address: SocketAddr, cause: io::Error },
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

impl Listeners {
    /// `quiet`: see [`QUIET_TIME`].
    pub(crate) async fn bind(config: &HttpConfig, quiet: Duration) -> Result<Self, ListenError> {
        let mut plain = Vec::new();
        for address in &config.listen {
            plain.push(bind(*address).await?);
        }
        let mut tls = Vec::new();
        let mut certificates = None;
        if !config.listen_tls.is_empty() {
            let loaded = Certificates::load(&config.certificates)?;
            let acceptor = TlsAcceptor::from(loaded.server()?);
            certificates = Some(loaded);
            for address in &config.listen_tls {
                tls.push((bind(*address).await?, acceptor.clone()));
            }
        }
        let limit = ConnectionLimit::new(
            config.connections_max,
            config.connections_per_address_max,
            config.trusted_proxies.clone(),
        );
        Ok(Self { plain, tls, certificates, limit: Arc::new(limit), quiet })
    }

    /// Where plain requests are served: the ports are known even if the configuration said 0.
    pub(crate) fn plain_addresses(&self) -> Vec<SocketAddr> {
        self.plain.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    pub(crate) fn tls_addresses(&self) -> Vec<SocketAddr> {
        self.tls.iter().filter_map(|(listener, _)| listener.local_addr().ok()).collect()
    }

    /// What the TLS listeners show, if there are any.
    pub(crate) fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Serves until `drain`, and then until the requests in progress are answered.
    pub(crate) async fn serve(self, router: Router, drain: CancellationToken) {
        let connections = TaskTracker::new();
        let accepting = TaskTracker::new();
        let sockets = self.plain.into_iter().map(|listener| (listener, None));
        let tls_sockets = self.tls.into_iter().map(|(listener, tls)| (listener, Some(tls)));
        for (listener, tls) in sockets.chain(tls_sockets) {
            let shared = Shared {
                router: router.clone(),
                tls,
                limit: self.limit.clone(),
                quiet: self.quiet,
                drain: drain.clone(),
                connections: connections.clone(),
            };
            accepting.spawn(accept(listener, shared));
        }
        accepting.close();
        accepting.wait().await;
        connections.close();
        let end = Instant::now() + DRAIN_TIME_MAX;
        if timeout_at(end, connections.wait()).await.is_err() {
            tracing::warn!(left = connections.len(), "some requests did not end in time");
        }
    }
}

/// What every connection of a listener needs.
#[derive(Clone)]
struct Shared {
    router: Router,
    tls: Option<TlsAcceptor>,
    limit: Arc<ConnectionLimit>,
    quiet: Duration,
    drain: CancellationToken,
    connections: TaskTracker,
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|cause| ListenError::Bind { address, cause })
}

async fn accept(listener: TcpListener, shared: Shared) {
    loop {
        let accepted = tokio::select! {
            () = shared.drain.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => start(socket, peer, &shared),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn start(socket: TcpStream, peer: SocketAddr, shared: &Shared) {
    // Over the limit the socket is closed at once: an answer would cost what the limit protects.
    let Some(permit) = shared.limit.enter(peer.ip()) else { return };
    let task = shared.clone();
    shared.connections.spawn(async move {
        connection::serve(socket, peer, task).await;
        drop(permit);
    });
}

#[cfg(test)]
pub(crate) mod tests;

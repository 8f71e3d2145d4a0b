//! A server on this machine, and connections of every temper.

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, routing::get};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use web::outbound::{AddressPolicy, Call, Outbound, OutboundSettings};

use super::{Connection, Listeners};
use crate::config::{CertificateFiles, HttpConfig};

pub(super) struct Server {
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
    pub(super) outbound: Outbound,
    /// Lets the handler of `/slow` go on.
    go_on: Arc<Notify>,
    pub(super) drain: CancellationToken,
    pub(super) task: JoinHandle<()>,
    certificate: CertificateDer<'static>,
    _folder: TempDir,
}

async fn server(connections_max: usize) -> Server {
    server_with(Router::new(), connections_max).await
}

/// A server that has these routes besides its own.
pub(super) async fn server_with(routes: Router, connections_max: usize) -> Server {
    let folder = TempDir::new().unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["acme.example".to_owned()]).unwrap();
    let files = CertificateFiles {
        certificate: folder.path().join("cert.pem"),
        private_key: folder.path().join("key.pem"),
    };
    fs::write(&files.certificate, cert.pem()).unwrap();
    fs::write(&files.private_key, signing_key.serialize_pem()).unwrap();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = HttpConfig {
        listen: vec![any_port],
        listen_tls: vec![any_port],
        certificates: vec![files],
        trusted_proxies: Vec::new(),
        connections_max,
        connections_per_address_max: connections_max,
    };
    let listeners = Listeners::bind(&config, Duration::ZERO).await.unwrap();
    let (plain, tls) = (listeners.plain_addresses()[0], listeners.tls_addresses()[0]);
    let go_on = Arc::new(Notify::new());
    let wait = go_on.clone();
    let router = routes
        .route("/", get(async |Extension(c): Extension<Connection>| format!("{:?}", c.tls)))
        .route("/slow", get(async move || wait.notified().await));
    let drain = CancellationToken::new();
    let task = tokio::spawn(listeners.serve(router, drain.clone()));
    let settings = OutboundSettings {
        policy: AddressPolicy::allow_all(),
        extra_roots_pem: cert.pem().into_bytes(),
        name_server: None,
    };
    let outbound = Outbound::new(settings).unwrap();
    let certificate = cert.der().clone();
    Server { plain, tls, outbound, go_on, drain, task, certificate, _folder: folder }
}

/// Sends bytes, and reads until the other side closes.
pub(crate) async fn raw(address: SocketAddr, request: &str) -> String {
    exchange(TcpStream::connect(address).await.unwrap(), request).await
}

/// The same over TLS, by a client that knows no HTTP/2.
pub(super) async fn raw_over_tls(server: &Server, request: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(server.certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "acme.example".try_into().unwrap();
    let socket = TcpStream::connect(server.tls).await.unwrap();
    let socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    exchange(socket, request).await
}

async fn exchange(mut socket: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = socket.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn plain_and_tls_are_told_apart() {
    let server = server(10).await;
    let call = Call::get(&format!("http://{}/", server.plain)).unwrap();
    assert_eq!(server.outbound.send(call).await.unwrap().body, "None");
    let call = Call::get("https://acme.example/").unwrap().via(vec![server.tls]);
    assert_eq!(server.outbound.send(call).await.unwrap().body, "Some(Some(\"acme.example\"))");
}

#[tokio::test]
async fn a_request_in_progress_is_answered_before_the_server_stops() {
    let server = server(10).await;
    let request = tokio::spawn(raw(server.plain, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"));
    // A second request on its own connection is answered only after the first was accepted.
    let first = raw(server.plain, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    server.drain.cancel();
    server.go_on.notify_one();
    let answer = request.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.plain).await.is_err(), "nobody listens any more");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_end_is_left_behind() {
    let server = server(10).await;
    let _request = tokio::spawn(raw(server.plain, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"));
    server.drain.cancel();
    tokio::time::timeout(Duration::from_secs(10), server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn who_is_over_the_limit_is_not_served() {
    let server = server(1).await;
    let mut first = TcpStream::connect(server.plain).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), b'H');
    assert_eq!(raw(server.plain, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await, "");
}

#[tokio::test]
async fn rubbish_is_not_served() {
    let server = server(10).await;
    let too_many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    for request in ["\u{1}\u{2}\r\n\r\n", "GET / HTTP/9\r\n\r\n", &too_many] {
        let answer = raw(server.plain, request).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

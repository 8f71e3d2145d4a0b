//! Calls against a server on this machine, and against a policy that forbids it.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Redirect},
    routing::get,
};
use futures_util::{future::BoxFuture, stream};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, HOST},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{
    AddressPolicy, Call, NameError, Names, Outbound, OutboundError, OutboundSettings, Reach,
    Service,
};

/// Names from a table; each lookup takes the next of a name's answers, the last one stays.
#[derive(Default)]
struct Table {
    names: HashMap<&'static str, Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Names for Table {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NameError>> {
        let nth = self.asked.fetch_add(1, Ordering::Relaxed);
        let found = self.names.get(host).map(|found| found[nth.min(found.len() - 1)]);
        Box::pin(async move { found.map(|address| vec![address]).ok_or(NameError::NotFound) })
    }

    fn services<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<Service>, NameError>> {
        Box::pin(async { Err(NameError::NotFound) })
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));

fn outbound(policy: AddressPolicy, names: &[(&'static str, &[IpAddr])]) -> Outbound {
    let names = names.iter().map(|(name, found)| (*name, found.to_vec())).collect();
    let table = Table { names, ..Table::default() };
    let settings = OutboundSettings { policy, ..OutboundSettings::default() };
    Outbound::with_names(settings, Arc::new(table)).unwrap()
}

fn open() -> Outbound {
    outbound(AddressPolicy::allow_all(), &[("here.example", &[LOOPBACK])])
}

fn strict() -> Outbound {
    outbound(AddressPolicy::default(), &[("here.example", &[LOOPBACK])])
}

/// A server with everything that these tests ask for.
async fn serve() -> SocketAddr {
    let app = Router::new()
        .route("/hello", get(async || "hello"))
        .route("/who", get(async |headers: HeaderMap| headers[HOST].as_bytes().to_vec()))
        .route("/auth", get(async |h: HeaderMap| h.contains_key(AUTHORIZATION).to_string()))
        .route("/large", get(async || "x".repeat(2_000)))
        .route("/endless", get(endless))
        .route("/never", get(std::future::pending::<()>))
        .route("/error", get(async || (StatusCode::BAD_GATEWAY, "no")))
        .route("/to/hello", get(async || Redirect::temporary("/hello")))
        .route("/loop", get(async || Redirect::temporary("/loop")))
        .route("/to/metadata", get(async || Redirect::temporary("http://169.254.169.254/")))
        .route("/to/file", get(async || Redirect::temporary("file:///etc/passwd")))
        .route(
            "/to/other",
            get(async |State(port): State<u16>| {
                Redirect::temporary(&format!("http://here.example:{port}/auth"))
            }),
        );
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.with_state(address.port());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A body of unknown length that never ends.
async fn endless() -> impl IntoResponse {
    Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 500])))
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

async fn get_from(outbound: &Outbound, url: &str) -> Result<String, OutboundError> {
    let call = Call::get(url)?.bytes_max(1_000).time_max(Duration::from_secs(5));
    let answer = outbound.send(call.follow_redirects()).await?.success()?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}

#[tokio::test]
async fn an_allowed_address_is_called() {
    let server = serve().await;
    assert_eq!(get_from(&open(), &url(server, "/hello")).await.unwrap(), "hello");
    let by_name = format!("http://here.example:{}/hello", server.port());
    assert_eq!(get_from(&open(), &by_name).await.unwrap(), "hello");
}

#[tokio::test]
async fn every_spelling_of_a_private_address_is_denied() {
    let outbound = strict();
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "192.168.0.1",
        "[fe80::1]",
        "[fd00::1]",
        "here.example",
    ] {
        let result = get_from(&outbound, &format!("http://{host}:1/")).await;
        assert!(matches!(result, Err(OutboundError::DeniedAddress)), "{host}: {result:?}");
    }
}

#[test]
fn the_policy_knows_the_special_networks() {
    let policy = AddressPolicy {
        allow_private: false,
        exceptions: vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/64".parse().unwrap()],
    };
    for (address, allowed) in [
        ("8.8.8.8", true),
        ("100.63.255.255", true),
        ("100.64.0.1", false),
        ("172.15.0.1", true),
        ("172.31.255.255", false),
        ("192.0.0.170", false),
        ("198.19.0.1", false),
        ("224.0.0.1", false),
        ("255.255.255.255", false),
        ("0.0.0.0", false),
        ("10.0.0.1", false),
        ("10.1.0.1", true),
        ("::ffff:10.1.0.1", true),
        ("::ffff:8.8.8.8", true),
        ("::ffff:10.0.0.1", false),
        ("64:ff9b::8.8.8.8", true),
        ("64:ff9b::10.0.0.1", false),
        ("64:ff9b:1::8.8.8.8", false),
        ("2002:808:808::1", false),
        ("2001::1", false),
        ("2001:db8::1", false),
        ("2606:4700::1111", true),
        ("fc00::1", false),
        ("fd00:1::1", true),
        ("fe80::1", false),
        ("ff02::1", false),
        ("::", false),
        ("::1", false),
    ] {
        assert_eq!(policy.allows(address.parse().unwrap()), allowed, "{address}");
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_checked_each_time() {
    let server = serve().await;
    let outbound = outbound(AddressPolicy::default(), &[("rebind.example", &[LOOPBACK, PUBLIC])]);
    let result = get_from(&outbound, &format!("http://rebind.example:{}/", server.port())).await;
    assert!(matches!(result, Err(OutboundError::DeniedAddress)), "{result:?}");
}

#[tokio::test]
async fn what_the_operator_configured_may_be_private_but_not_its_redirects() {
    let server = serve().await;
    let outbound = strict();
    let ask = async |path: &str| {
        let call = Call::get(&url(server, path)).unwrap().reach(Reach::Configured);
        outbound.send(call.follow_redirects()).await
    };
    assert_eq!(ask("/hello").await.unwrap().body, "hello");
    assert!(matches!(ask("/to/hello").await, Err(OutboundError::DeniedAddress)));
}

#[tokio::test]
async fn redirects_are_followed_with_care() {
    let server = serve().await;
    let policy = AddressPolicy {
        exceptions: vec!["127.0.0.0/8".parse().unwrap()],
        ..AddressPolicy::default()
    };
    let outbound = outbound(policy, &[("here.example", &[LOOPBACK])]);
    assert_eq!(get_from(&outbound, &url(server, "/to/hello")).await.unwrap(), "hello");
    let denied = get_from(&outbound, &url(server, "/to/metadata")).await;
    assert!(matches!(denied, Err(OutboundError::DeniedAddress)), "{denied:?}");
    for path in ["/loop", "/to/file"] {
        let result = get_from(&outbound, &url(server, path)).await;
        assert!(matches!(result, Err(OutboundError::Redirect(_))), "{path}: {result:?}");
    }
    let unasked = outbound.send(Call::get(&url(server, "/to/hello")).unwrap()).await.unwrap();
    assert_eq!(unasked.status, StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn a_secret_header_does_not_follow_to_another_site() {
    let server = serve().await;
    let ask = async |path: &str| {
        let call = Call::get(&url(server, path)).unwrap().follow_redirects();
        let secret = HeaderValue::from_static("Bearer secret");
        open().send(call.header(AUTHORIZATION, secret)).await.unwrap().body
    };
    assert_eq!(ask("/auth").await, "true");
    assert_eq!(ask("/to/other").await, "false");
}

#[tokio::test]
async fn too_large_an_answer_is_cut_off() {
    let server = serve().await;
    for path in ["/large", "/endless"] {
        let result = get_from(&open(), &url(server, path)).await;
        assert!(matches!(result, Err(OutboundError::TooLarge { limit: 1_000 })), "{path}");
    }
    let call = Call::get(&url(server, "/endless")).unwrap().bytes_max(1_000);
    let mut answer = open().stream(call).await.unwrap();
    let end = loop {
        match answer.piece().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Err(OutboundError::TooLarge { .. })), "{end:?}");
}

#[tokio::test]
async fn a_slow_answer_times_out() {
    let server = serve().await;
    let call = Call::get(&url(server, "/never")).unwrap().time_max(Duration::from_millis(20));
    assert!(matches!(open().send(call).await, Err(OutboundError::Timeout)));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let server = serve().await;
    let outbound = open();
    let name = get_from(&outbound, "http://nowhere.example/").await;
    assert!(matches!(name, Err(OutboundError::Name(NameError::NotFound))), "{name:?}");
    let closed = TcpListener::bind((LOOPBACK, 0)).await.unwrap().local_addr().unwrap();
    let connect = get_from(&outbound, &url(closed, "/")).await;
    assert!(matches!(connect, Err(OutboundError::Connect(_))), "{connect:?}");
    let status = get_from(&outbound, &url(server, "/error")).await;
    assert!(matches!(status, Err(OutboundError::Status(StatusCode::BAD_GATEWAY))), "{status:?}");
    let tls = get_from(&outbound, &format!("https://{server}/")).await;
    assert!(matches!(tls, Err(OutboundError::Tls(_))), "{tls:?}");
}

#[test]
fn only_web_addresses_without_secrets_are_urls_to_call() {
    for bad in ["ftp://a/", "file:///etc/passwd", "unix:/x", "http://u:p@a/", "http://", "x"] {
        assert!(matches!(Call::get(bad), Err(OutboundError::BadUrl(_))), "{bad}");
    }
}

#[tokio::test]
async fn a_route_changes_the_address_but_not_the_name() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["delegated.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let server = serve_tls(cert.der().clone(), key).await;
    let settings = OutboundSettings {
        policy: AddressPolicy::allow_all(),
        extra_roots_pem: cert.pem().into_bytes(),
        ..OutboundSettings::default()
    };
    let outbound = Outbound::with_names(settings, Arc::new(Table::default())).unwrap();

    let ask = async |host: &str| {
        let call = Call::get(&format!("https://{host}/who")).unwrap().via(vec![server]);
        outbound.send(call).await
    };
    assert_eq!(ask("delegated.example").await.unwrap().body, "delegated.example");
    let wrong_name = ask("other.example").await;
    assert!(matches!(wrong_name, Err(OutboundError::Tls(_))), "{wrong_name:?}");
}

#[tokio::test]
async fn a_route_obeys_the_policy() {
    let server = serve().await;
    let call = Call::get("http://delegated.example/hello").unwrap().via(vec![server]);
    assert!(matches!(strict().send(call).await, Err(OutboundError::DeniedAddress)));
}

#[test]
fn a_file_of_authorities_must_hold_some() {
    for (pem, text) in [
        ("nothing", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", "PEM"),
    ] {
        let settings =
            OutboundSettings { extra_roots_pem: pem.into(), ..OutboundSettings::default() };
        let error = Outbound::with_names(settings, Arc::new(Table::default())).err().unwrap();
        assert!(error.to_string().contains(text), "{error}");
    }
}

/// HTTP/1 over TLS; answers every request with its `Host`.
async fn serve_tls(
    certificate: rustls::pki_types::CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> SocketAddr {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(socket) = acceptor.accept(socket).await else { continue };
            let mut lines = BufReader::new(socket).lines();
            let mut host = String::new();
            while let Some(line) = lines.next_line().await.unwrap_or_default() {
                match line.to_ascii_lowercase().strip_prefix("host: ") {
                    Some(found) => host = found.to_owned(),
                    None if line.is_empty() => break,
                    None => {}
                }
            }
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{host}", host.len());
            lines.get_mut().write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

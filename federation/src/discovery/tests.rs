//! Where names lead: the steps of the specification, with a table for DNS and real TLS.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::HeaderValue;
use model::clock::ManualClock;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use web::outbound::{NameError, Names, Service};

use super::{Discovery, DiscoveryError, Ports, Target, in_order};
use crate::{
    tls_host::{LOOPBACK, TlsHost, outbound},
    worlds::{ids, server},
};

mod dns;

/// What DNS would say.
#[derive(Default)]
struct Table {
    addresses: HashMap<String, IpAddr>,
    services: HashMap<String, Vec<Service>>,
}

impl Names for Table {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NameError>> {
        let found = self.addresses.get(host).map(|address| vec![*address]);
        Box::pin(async move { found.ok_or(NameError::NotFound) })
    }

    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Service>, NameError>> {
        let found = self.services.get(name).cloned();
        Box::pin(async move { found.ok_or(NameError::NotFound) })
    }
}

/// A host that answers every request over TLS with what the test wants.
struct Host {
    port: u16,
    certificate: String,
    answers: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<AtomicUsize>,
}

impl Host {
    async fn start(names: &[&str]) -> Self {
        let tls = TlsHost::bind(names).await;
        let (port, certificate) = (tls.address().port(), tls.certificate.clone());
        let (answers, asked) = (Arc::<Mutex<HashMap<_, _>>>::default(), Arc::default());
        let host = Self { port, certificate, answers, asked };
        let (answers, asked) = (host.answers.clone(), Arc::clone(&host.asked));
        tokio::spawn(async move {
            loop {
                let mut lines = BufReader::new(tls.accept().await).lines();
                let mut name = String::new();
                while let Some(line) = lines.next_line().await.unwrap_or_default() {
                    match line.to_ascii_lowercase().strip_prefix("host: ") {
                        Some(found) => found.split(':').next().unwrap().clone_into(&mut name),
                        None if line.is_empty() => break,
                        None => {}
                    }
                }
                asked.fetch_add(1, Ordering::Relaxed);
                let answer = answers.lock().get(&name).cloned();
                let answer = answer.unwrap_or_else(|| "HTTP/1.1 404 Not Found\r\n\r\n".to_owned());
                // A client that has had enough may hang up.
                let _hung_up = lines.get_mut().write_all(answer.as_bytes()).await;
                let _hung_up = lines.get_mut().shutdown().await;
            }
        });
        host
    }

    fn answer(&self, name: &str, answer: impl Into<String>) {
        self.answers.lock().insert(name.to_owned(), answer.into());
    }

    fn delegate(&self, name: &str, to: &str) {
        self.answer(name, delegation(to, ""));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn delegation(to: &str, headers: &str) -> String {
    let body = format!(r#"{{"m.server":"{to}"}}"#);
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

fn discovery(host: &Host, names: Table, clock: &ManualClock) -> Discovery {
    let outbound = outbound(&host.certificate, names);
    let ports = Ports { https: host.port, federation: 8448 };
    Discovery::with_ports(outbound, Arc::new(clock.clone()), ids(), ports)
}

fn names(hosts: &[&str]) -> Table {
    let addresses = hosts.iter().map(|host| ((*host).to_owned(), LOOPBACK)).collect();
    Table { addresses, services: HashMap::new() }
}

fn service(priority: u16, weight: u16, port: u16, target: &str) -> Service {
    Service { priority, weight, port, target: target.to_owned() }
}

fn at(base: &str, ports: &[u16]) -> Target {
    let addresses = ports.iter().map(|port| SocketAddr::new(LOOPBACK, *port)).collect();
    Target { base: base.to_owned(), addresses, host: None }
}

#[tokio::test]
async fn names_lead_where_the_specification_says() {
    let hosts = [
        "plain.example",
        "srv.example",
        "old.example",
        "to-ip.example",
        "to-port.example",
        "to-name.example",
        "to-srv.example",
        "broken.example",
        "loop.example",
    ];
    let host = Host::start(&hosts).await;
    host.delegate("to-ip.example", "1.2.3.4");
    host.delegate("to-port.example", "plain.example:1234");
    host.delegate("to-name.example", "plain.example");
    host.delegate("to-srv.example", "srv.example");
    // What a delegated host says itself is not asked.
    host.delegate("loop.example", "to-port.example");
    host.answer("broken.example", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    let mut table = names(&hosts);
    table.addresses.insert("target.example".to_owned(), LOOPBACK);
    let found = |port| vec![service(1, 1, port, "target.example")];
    table.services.insert("_matrix-fed._tcp.srv.example".to_owned(), found(11));
    table.services.insert("_matrix._tcp.srv.example".to_owned(), found(12));
    table.services.insert("_matrix._tcp.old.example".to_owned(), found(13));
    let discovery = discovery(&host, table, &ManualClock::default());
    let ip = |base: &str, host: &'static str| Target {
        base: base.to_owned(),
        addresses: Vec::new(),
        host: Some(HeaderValue::from_static(host)),
    };
    for (name, expected) in [
        ("1.2.3.4", ip("https://1.2.3.4:8448", "1.2.3.4")),
        ("1.2.3.4:5", at("https://1.2.3.4:5", &[])),
        ("[::1]", ip("https://[::1]:8448", "[::1]")),
        ("[::1]:5", at("https://[::1]:5", &[])),
        ("any.example:5", at("https://any.example:5", &[])),
        ("to-ip.example", ip("https://1.2.3.4:8448", "1.2.3.4")),
        ("to-port.example", at("https://plain.example:1234", &[])),
        ("to-srv.example", at("https://srv.example", &[11])),
        ("to-name.example", at("https://plain.example", &[8448])),
        ("loop.example", at("https://to-port.example", &[8448])),
        ("srv.example", at("https://srv.example", &[11])),
        ("old.example", at("https://old.example", &[13])),
        ("plain.example", at("https://plain.example", &[8448])),
        ("broken.example", at("https://broken.example", &[8448])),
    ] {
        assert_eq!(discovery.find(&server(name)).await.unwrap(), expected, "{name}");
    }
    let nowhere = discovery.find(&server("nowhere.example")).await;
    assert!(matches!(nowhere, Err(DiscoveryError::Names(NameError::NotFound))), "{nowhere:?}");
}

#[tokio::test]
async fn an_answer_is_remembered_for_its_time() {
    let host = Host::start(&["a.example"]).await;
    host.answer("a.example", delegation("b.example:1", "cache-control: max-age=3600\r\n"));
    let clock = ManualClock::default();
    let discovery = discovery(&host, names(&["a.example"]), &clock);
    let find = async || discovery.find(&server("a.example")).await.unwrap().base;
    let together = futures_util::future::join_all((0..5).map(|_| find())).await;
    assert!(together.iter().all(|base| base == "https://b.example:1"));
    assert_eq!(host.asked(), 1);
    host.delegate("a.example", "c.example:2");
    clock.advance(Duration::from_secs(3_599));
    assert_eq!(find().await, "https://b.example:1");
    clock.advance(Duration::from_secs(2));
    assert_eq!(find().await, "https://c.example:2");
    assert_eq!(host.asked(), 2);
}

#[tokio::test]
async fn a_host_that_fails_for_a_while_keeps_its_delegation() {
    let host = Host::start(&["a.example"]).await;
    host.answer("a.example", delegation("b.example:1", "cache-control: max-age=3600\r\n"));
    let clock = ManualClock::default();
    let discovery = discovery(&host, names(&["a.example"]), &clock);
    let find = async || discovery.find(&server("a.example")).await.unwrap().base;
    assert_eq!(find().await, "https://b.example:1");
    host.answer("a.example", "HTTP/1.1 502 Bad Gateway\r\n\r\n");
    clock.advance(Duration::from_secs(3_601));
    assert_eq!(find().await, "https://b.example:1");
    assert_eq!(find().await, "https://b.example:1");
    assert_eq!(host.asked(), 2);
    clock.advance(Duration::from_secs(48 * 3_600));
    assert_eq!(find().await, "https://a.example");
    // A host that no longer delegates is believed at once.
    host.delegate("a.example", "b.example:1");
    clock.advance(Duration::from_secs(3_601));
    assert_eq!(find().await, "https://b.example:1");
    host.answer("a.example", "HTTP/1.1 404 Not Found\r\n\r\n");
    clock.advance(Duration::from_secs(24 * 3_600 + 1));
    assert_eq!(find().await, "https://a.example");
}

#[tokio::test]
async fn hostile_answers_delegate_nothing() {
    let host = Host::start(&["a.example"]).await;
    let clock = ManualClock::default();
    let discovery = discovery(&host, names(&["a.example"]), &clock);
    let redirect = |to: &str| format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\n\r\n");
    let itself = format!("https://a.example:{}/.well-known/matrix/server", host.port);
    for answer in [
        delegation("b.example/path", ""),
        delegation("b.example:99999", ""),
        delegation("user@b.example", ""),
        delegation("b.example\\u0000", ""),
        delegation("bücher.example", ""),
        delegation("", ""),
        "HTTP/1.1 200 OK\r\n\r\n<html></html>".to_owned(),
        format!("HTTP/1.1 200 OK\r\n\r\n{{\"m.server\":\"b.example:1\"{}}}", " ".repeat(60_000)),
        "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_owned(),
        redirect(&itself),
        redirect("http://a.example/.well-known/matrix/server"),
        redirect("file:///etc/passwd"),
    ] {
        clock.advance(Duration::from_secs(48 * 3_600));
        host.answer("a.example", answer.clone());
        let base = discovery.find(&server("a.example")).await.unwrap().base;
        assert_eq!(base, "https://a.example", "{answer:.100}");
    }
}

#[test]
fn services_are_tried_by_priority_then_by_weight() {
    let services = || {
        vec![
            service(20, 1, 1, "last.example"),
            service(10, 90, 2, "heavy.example"),
            service(10, 0, 3, "light.example"),
            service(10, 0, 4, ""),
        ]
    };
    let ids = ids();
    let mut heavy_first = 0;
    for _ in 0..1_000 {
        let order = in_order(services(), &*ids);
        let targets: Vec<&str> = order.iter().map(|service| service.target.as_str()).collect();
        assert_eq!(targets.len(), 3);
        assert_eq!(targets[2], "last.example");
        heavy_first += usize::from(targets[0] == "heavy.example");
    }
    assert!((950..1_000).contains(&heavy_first), "{heavy_first}");
}

//! Two homeservers of different processes, as far as the transport can tell: real sockets, real
//! TLS, and the receiver's whole router behind them.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{Router, body::Body};
use futures_util::future::BoxFuture;
use http::Request;
use http_body_util::BodyExt;
use ruma::api::federation::{
    discovery::get_server_version, query::get_profile_information,
    transactions::send_transaction_message,
};
use services::accounts::NewAccount;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;
use web::outbound::{NameError, Names, Service};

use crate::{
    client::FederationClient,
    discovery::{Discovery, Ports},
    inbound,
    tls_host::{LOOPBACK, TlsHost, outbound},
    transport::Transport,
    worlds::{World, server},
};

const TIME: Duration = Duration::from_secs(20);

/// Every host is this machine.
struct Here;

impl Names for Here {
    fn addresses<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NameError>> {
        Box::pin(async { Ok(vec![LOOPBACK]) })
    }

    fn services<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<Service>, NameError>> {
        Box::pin(async { Err(NameError::NotFound) })
    }
}

/// Serves the router over TLS; answers the address and the certificate.
async fn serve(name: &str, router: Router) -> (SocketAddr, String) {
    let host = TlsHost::bind(&[name]).await;
    let found = (host.address(), host.certificate.clone());
    tokio::spawn(async move {
        loop {
            answer(host.accept().await, router.clone()).await;
        }
    });
    found
}

/// One request of HTTP/1.1, handed to the router as it stands on the wire.
async fn answer(mut socket: TlsStream<TcpStream>, router: Router) {
    let mut received = Vec::new();
    let (head, length) = loop {
        if socket.read_buf(&mut received).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8(received[..end].to_vec()).unwrap();
        received.drain(..end + 4);
        let length = head.to_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length: ").map(|length| length.parse::<usize>().unwrap())
        });
        break (head, length.unwrap_or(0));
    };
    while received.len() < length {
        socket.read_buf(&mut received).await.unwrap();
    }
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let mut request = Request::builder().method(first.next().unwrap()).uri(first.next().unwrap());
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let response = router.oneshot(request.body(Body::from(received)).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&body).await.unwrap();
    let _hung_up = socket.shutdown().await;
}

#[tokio::test]
async fn what_is_signed_is_understood_over_the_wire() {
    let mut world = World::new();
    let a = world.home("a.example").await;
    let b = world.home("b.example").await;
    let new = NewAccount { username: Some("bob".to_owned()), ..NewAccount::default() };
    let bob = b.services.accounts.register(new).await.unwrap().user_id;
    // `b` finds the keys of `a` within the process; `a` has only the wire.
    let (address, certificate) = serve("b.example", inbound::router_of(b.clone())).await;
    let outbound = outbound(&certificate, Here);
    let closed = TcpListener::bind((LOOPBACK, 0)).await.unwrap().local_addr().unwrap().port();
    let ports = Ports { https: closed, federation: address.port() };
    let (clock, ids) = (a.context().clock.clone(), a.context().ids.clone());
    let discovery = Discovery::with_ports(outbound.clone(), clock, ids, ports);
    let wire = Transport::new(outbound, discovery);
    let client = FederationClient::new(a.context().clone(), wire, a.contacts.clone());
    let to = server("b.example");

    let version = get_server_version::v1::Request::new();
    let version = client.send_unsigned(&to, version, TIME).await.unwrap();
    assert_eq!(version.server.unwrap().name.as_deref(), Some("Kontor"));
    // With a query, and with a body.
    let profile = get_profile_information::v1::Request::new(bob);
    client.insist(&to, profile, TIME).await.unwrap();
    let now = inbound::now(&a);
    let origin = server("a.example");
    let send = send_transaction_message::v1::Request::new("a b/c".into(), origin, now);
    client.insist(&to, send, TIME).await.unwrap();
    // A certificate for another name is none.
    let other = client.insist(&server("c.example"), get_profile("@c:c.example"), TIME).await;
    assert!(matches!(other, Err(crate::client::RequestError::Unreachable(_))), "{other:?}");
}

fn get_profile(user: &str) -> get_profile_information::v1::Request {
    get_profile_information::v1::Request::new(ruma::UserId::parse(user).unwrap())
}

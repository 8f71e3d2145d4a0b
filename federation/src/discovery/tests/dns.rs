//! Discovery with a real resolver, which asks a small name server of this test.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, SRV},
    },
};
use model::clock::ManualClock;
use tokio::net::UdpSocket;
use web::outbound::{AddressPolicy, NameError, Outbound, OutboundSettings, SystemNames};

use super::DiscoveryError;
use crate::{
    discovery::{Discovery, Ports, Target},
    tls_host::LOOPBACK,
    worlds::{ids, server},
};

/// What the name server answers; everything else does not exist.
fn answer(name: &str, kind: RecordType) -> Result<Vec<RData>, ResponseCode> {
    let address = |last| RData::A(A::new(10, 0, 0, last));
    let service = |priority, port, target: &str| {
        RData::SRV(SRV::new(priority, 0, port, Name::from_ascii(target).unwrap()))
    };
    match (name, kind) {
        ("_matrix-fed._tcp.a.example.", RecordType::SRV) => {
            Ok(vec![service(20, 2, "second.example."), service(10, 1, "first.example.")])
        }
        ("_matrix-fed._tcp.nothing.example.", RecordType::SRV) => Ok(vec![service(0, 0, ".")]),
        ("_matrix-fed._tcp.broken.example.", _) => Err(ResponseCode::ServFail),
        ("first.example.", RecordType::A) => Ok(vec![address(1)]),
        ("second.example.", RecordType::A) => Ok(vec![address(2)]),
        ("plain.example." | "broken.example.", RecordType::A) => Ok(vec![address(3)]),
        ("a.example." | "plain.example." | "broken.example." | "nothing.example.", _)
        | ("first.example." | "second.example.", _) => Ok(Vec::new()),
        _ => Err(ResponseCode::NXDomain),
    }
}

/// A name server on this machine, and how often it had something to tell.
async fn name_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = vec![0; 4_096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..length]).unwrap();
            let query = question.queries[0].clone();
            let name = query.name().to_ascii().to_lowercase();
            let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
            reply.metadata.message_type = MessageType::Response;
            reply.metadata.authoritative = true;
            match answer(&name, query.query_type()) {
                Ok(found) => {
                    count.fetch_add(usize::from(!found.is_empty()), Ordering::Relaxed);
                    for data in found {
                        reply.add_answer(Record::from_rdata(query.name().clone(), 300, data));
                    }
                }
                Err(code) => reply.metadata.response_code = code,
            }
            reply.add_query(query);
            socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
        }
    });
    (address, asked)
}

#[tokio::test]
async fn dns_leads_to_the_servers() {
    let (address, asked) = name_server().await;
    // Nothing may be called here, so no host delegates.
    let settings =
        OutboundSettings { policy: AddressPolicy::default(), ..OutboundSettings::default() };
    let names = Arc::new(SystemNames::asking(address));
    let outbound = Outbound::with_names(settings, names).unwrap();
    let clock = Arc::new(ManualClock::default());
    let discovery = Discovery::with_ports(outbound, clock, ids(), Ports::default());
    let at = |host: &str, addresses: &[(u8, u16)]| Target {
        base: format!("https://{host}"),
        addresses: addresses
            .iter()
            .map(|(last, port)| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, *last)), *port))
            .collect(),
        host: None,
    };
    let find = async |name: &str| discovery.find(&server(name)).await;
    assert_eq!(find("a.example").await.unwrap(), at("a.example", &[(1, 1), (2, 2)]));
    assert_eq!(find("plain.example").await.unwrap(), at("plain.example", &[(3, 8448)]));
    assert_eq!(find("broken.example").await.unwrap(), at("broken.example", &[(3, 8448)]));
    let nothing = find("nothing.example").await;
    assert!(matches!(nothing, Err(DiscoveryError::NoAddress)), "{nothing:?}");
    let missing = find("missing.example").await;
    let not_found = matches!(missing, Err(DiscoveryError::Names(NameError::NotFound)));
    assert!(not_found, "{missing:?}");
    let before = asked.load(Ordering::Relaxed);
    assert!(find("a.example").await.is_ok());
    assert_eq!(asked.load(Ordering::Relaxed), before, "what was asked is remembered");
}

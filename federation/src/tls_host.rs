//! For tests: a host of this machine that speaks TLS, and the client that trusts it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use web::outbound::{AddressPolicy, Names, Outbound, OutboundSettings};

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Takes connections for some names.
pub(crate) struct TlsHost {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    /// In PEM; its own, so nobody trusts it who is not told to.
    pub(crate) certificate: String,
}

impl TlsHost {
    pub(crate) async fn bind(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        Self {
            listener: TcpListener::bind((LOOPBACK, 0)).await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificate: cert.pem(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection that gets through its handshake.
    pub(crate) async fn accept(&self) -> TlsStream<TcpStream> {
        loop {
            let (socket, _) = self.listener.accept().await.unwrap();
            if let Ok(socket) = self.acceptor.accept(socket).await {
                return socket;
            }
        }
    }
}

/// Calls out with these names for DNS, and trusts this certificate too.
pub(crate) fn outbound(certificate: &str, names: impl Names + 'static) -> Outbound {
    let settings = OutboundSettings {
        policy: AddressPolicy::allow_all(),
        extra_roots_pem: certificate.as_bytes().to_vec(),
        ..OutboundSettings::default()
    };
    Outbound::with_names(settings, Arc::new(names)).unwrap()
}

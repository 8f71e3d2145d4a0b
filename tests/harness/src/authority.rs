//! A certificate authority for one test, which all servers of the test trust.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Names of homeservers here are addresses of the loopback network: they need no DNS.
const HOMESERVERS_MAX: u8 = 120;

/// The authority's files: its own certificate, and one that is good for every server.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

impl Authority {
    /// Makes an authority and the servers' certificate.
    pub fn new() -> Self {
        Self::of_networks(2)
    }

    /// Makes them for servers in so many networks: 127.0.0.*, 127.0.1.*, ...
    pub fn of_networks(networks: u8) -> Self {
        let folder = tempfile::tempdir().expect("a folder for certificates");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Kontor test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key for the authority");
        let certificate = params.self_signed(&key).expect("the authority signs itself");
        let authority = Self { folder };
        write(&authority.ca_file(), &certificate.pem());
        authority.issue(&Issuer::new(params, key), networks);
        authority
    }

    fn issue(&self, issuer: &Issuer<'_, KeyPair>, networks: u8) {
        let addresses = (0..networks)
            .flat_map(|net| (1..=HOMESERVERS_MAX).map(move |n| format!("127.0.{net}.{n}")))
            .chain(["localhost".into()])
            .collect::<Vec<_>>();
        let mut params = CertificateParams::new(addresses).expect("addresses are valid names");
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key for the servers");
        let certificate = params.signed_by(&key, issuer).expect("the authority signs");
        write(&self.certificate_file(), &certificate.pem());
        write(&self.key_file(), &key.serialize_pem());
    }

    /// The authority's own certificate, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The servers' certificate, PEM.
    pub fn certificate_file(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// The servers' private key, PEM.
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

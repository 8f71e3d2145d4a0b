//! Whom we believe who they are: the system's certificate authorities, and one file more.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Why the client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the file of extra certificate authorities is not PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    #[error("the file of extra certificate authorities holds no certificate")]
    NoCertificate,
    #[error("a certificate authority is not usable")]
    Certificate(#[source] rustls::Error),
    #[error("the HTTP client cannot be built")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Roots of the system and those in `extra_pem`, which may be empty.
pub(super) fn client_config(extra_pem: &[u8]) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    // A system without certificates is fine where all peers are trusted by the extra file.
    let system = rustls_native_certs::load_native_certs();
    let (_, unusable) = roots.add_parsable_certificates(system.certs);
    if unusable > 0 {
        tracing::debug!(unusable, "some of the system's certificates are not usable");
    }
    let mut extra = 0;
    for certificate in CertificateDer::pem_slice_iter(extra_pem) {
        roots.add(certificate.map_err(TlsError::Pem)?).map_err(TlsError::Certificate)?;
        extra += 1;
    }
    if !extra_pem.is_empty() && extra == 0 {
        return Err(TlsError::NoCertificate);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Client(error.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

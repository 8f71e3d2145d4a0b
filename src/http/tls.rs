//! Certificates: which one for which name, and new ones without a restart.

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use webpki::EndEntityCert;

use crate::config::CertificateFiles;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{}: {cause}", file.display())]
    Unreadable { file: PathBuf, cause: io::Error },
    #[error("{} is not PEM with {what}: {cause}", file.display())]
    Pem { file: PathBuf, what: &'static str, cause: pem::Error },
    #[error("{} holds no certificate", file.display())]
    Empty { file: PathBuf },
    #[error("{} is of no use: {cause}", file.display())]
    Unusable { file: PathBuf, cause: rustls::Error },
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// All certificates of the server. Shared with the handshakes, so that [`reload`](Self::reload)
/// takes effect at once.
#[derive(Clone)]
pub(crate) struct Certificates {
    files: Arc<[CertificateFiles]>,
    provider: Arc<CryptoProvider>,
    loaded: Arc<RwLock<Loaded>>,
}

/// Compares states of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamps(Vec<Option<SystemTime>>);

#[derive(Default)]
struct Loaded {
    /// By name in lower case; `*.` stands for one label.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// For who asks for no name, or for one that we do not have.
    first: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    pub(crate) fn load(files: &[CertificateFiles]) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let loaded = Arc::new(RwLock::new(load(files, &provider)?));
        Ok(Self { files: files.into(), provider, loaded })
    }

    /// Reads the files again. On an error the old certificates stay.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let loaded = load(&self.files, &self.provider)?;
        *self.loaded.write() = loaded;
        Ok(())
    }

    /// When the files were last changed, as far as that can be told.
    pub(crate) fn stamps(&self) -> Stamps {
        let stamp = |file: &PathBuf| fs::metadata(file).and_then(|data| data.modified()).ok();
        let files = self.files.iter();
        Stamps(
            files
                .flat_map(|files| [stamp(&files.certificate), stamp(&files.private_key)])
                .collect(),
        )
    }

    /// What a TLS listener needs.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.loaded.read().find(hello.server_name())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Loaded {
    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let exact = |name: &str| self.by_name.get(name);
        let wildcard = |name: &str| exact(&format!("*.{}", name.split_once('.')?.1));
        let found = name.and_then(|name| exact(name).or_else(|| wildcard(name)));
        found.or(self.first.as_ref()).cloned()
    }
}

fn load(files: &[CertificateFiles], provider: &CryptoProvider) -> Result<Loaded, TlsError> {
    let mut loaded = Loaded::default();
    for files in files {
        let key = Arc::new(load_one(files, provider)?);
        let unusable = |error: webpki::Error| TlsError::Unusable {
            file: files.certificate.clone(),
            cause: rustls::Error::General(error.to_string()),
        };
        let parsed = EndEntityCert::try_from(&key.cert[0]).map_err(unusable)?;
        for name in parsed.valid_dns_names() {
            loaded.by_name.entry(name.to_lowercase()).or_insert_with(|| key.clone());
        }
        loaded.first.get_or_insert(key);
    }
    Ok(loaded)
}

fn load_one(files: &CertificateFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let CertificateFiles { certificate, private_key } = files;
    let bad_pem = |file: &Path, what, cause| TlsError::Pem { file: file.to_owned(), what, cause };
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| bad_pem(certificate, "certificates", cause))?;
    if chain.is_empty() {
        return Err(TlsError::Empty { file: certificate.clone() });
    }
    let key = PrivateKeyDer::from_pem_slice(&read(private_key)?)
        .map_err(|cause| bad_pem(private_key, "a private key", cause))?;
    let unusable = |cause| TlsError::Unusable { file: private_key.clone(), cause };
    let key = provider.key_provider.load_private_key(key).map_err(unusable)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(cause) => Err(unusable(cause)),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|cause| TlsError::Unreadable { file: file.to_owned(), cause })
}

#[cfg(test)]
mod tests;

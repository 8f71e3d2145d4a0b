//! The demo's own certificate authority, and the certificate that it gives to both companies.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::{ACME, DemoError, GLOBEX};

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) ca_pem: Vec<u8>,
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
}

/// Makes the certificates, unless an earlier run has.
pub(super) fn prepare(folder: &Path) -> Result<Files, DemoError> {
    let ca = folder.join("ca.pem");
    let certificate = folder.join("certificate.pem");
    let private_key = folder.join("key.pem");
    let failed = |path: &Path, cause| DemoError::Files { path: path.to_owned(), cause };
    if !ca.exists() {
        fs::create_dir_all(folder).map_err(|cause| failed(folder, cause))?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "Kontor demonstration");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let names = [ACME, GLOBEX, "localhost", "127.0.0.1"].map(str::to_owned);
        let key = KeyPair::generate()?;
        let issued = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        write_secret(&private_key, &key.serialize_pem())?;
        fs::write(&certificate, issued.pem()).map_err(|cause| failed(&certificate, cause))?;
        // Last, because it tells that the others are there.
        fs::write(&ca, issuer.pem()).map_err(|cause| failed(&ca, cause))?;
    }
    let ca_pem = fs::read(&ca).map_err(|cause| failed(&ca, cause))?;
    Ok(Files { ca_pem, certificate, private_key })
}

/// Writes a file that only its owner can read.
pub(super) fn write_secret(path: &Path, secret: &str) -> Result<(), DemoError> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(secret.as_bytes()))
        .map_err(|cause| DemoError::Files { path: path.to_owned(), cause })
}

//! Which certificate answers to which name.

use std::{fs, path::Path};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use super::{Certificates, TlsError};
use crate::config::CertificateFiles;

fn write(folder: &Path, file: &str, names: &[&str]) -> CertificateFiles {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let files = CertificateFiles {
        certificate: folder.join(format!("{file}.pem")),
        private_key: folder.join(format!("{file}-key.pem")),
    };
    fs::write(&files.certificate, cert.pem()).unwrap();
    fs::write(&files.private_key, signing_key.serialize_pem()).unwrap();
    files
}

#[test]
fn the_name_chooses_the_certificate() {
    let folder = TempDir::new().unwrap();
    let acme = write(folder.path(), "acme", &["acme.example", "*.acme.example"]);
    let globex = write(folder.path(), "globex", &["globex.example"]);
    let certificates = Certificates::load(&[acme, globex]).unwrap();
    let loaded = certificates.loaded.read();
    let find = |name: Option<&str>| loaded.find(name).unwrap().cert[0].clone();
    let acme = find(Some("acme.example"));
    let globex = find(Some("globex.example"));
    assert_ne!(acme, globex);
    assert_eq!(find(Some("matrix.acme.example")), acme);
    assert_eq!(find(Some("stranger.example")), acme, "the first is for strangers");
    assert_eq!(find(None), acme);
}

#[test]
fn new_files_are_read_and_bad_ones_change_nothing() {
    let folder = TempDir::new().unwrap();
    let files = write(folder.path(), "acme", &["acme.example"]);
    let certificates = Certificates::load(std::slice::from_ref(&files)).unwrap();
    let current = || certificates.loaded.read().find(None).unwrap().cert[0].clone();
    let before = current();
    fs::write(&files.certificate, "rubbish").unwrap();
    assert!(matches!(certificates.reload(), Err(TlsError::Empty { .. })));
    assert_eq!(current(), before);
    write(folder.path(), "acme", &["acme.example"]);
    certificates.reload().unwrap();
    assert_ne!(current(), before);
}

#[test]
fn mistakes_name_the_file() {
    let folder = TempDir::new().unwrap();
    let acme = write(folder.path(), "acme", &["acme.example"]);
    let globex = write(folder.path(), "globex", &["globex.example"]);
    let missing = CertificateFiles { certificate: "/no/such.pem".into(), ..acme.clone() };
    let mixed = CertificateFiles { private_key: globex.private_key, ..acme.clone() };
    let swapped = CertificateFiles { private_key: acme.certificate.clone(), ..acme };
    for (files, file) in
        [(missing, "/no/such.pem"), (mixed, "globex-key.pem"), (swapped, "acme.pem")]
    {
        let error = Certificates::load(&[files]).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
    }
}

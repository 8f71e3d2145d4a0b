//! A certificate must convince whoever trusts the authority.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer};

use super::{der, pkcs8, sign};

#[test]
fn a_certificate_is_signed_for_the_name() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let signed = sign(&authority.pem(), key.serialize_pem().as_bytes(), &["hs1"]).unwrap();
    assert!(signed.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(signed.private_key.starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn a_key_of_the_older_form_is_put_into_an_envelope() {
    let key = PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(vec![7; 300]));
    let envelope = pkcs8(key);
    let bytes = envelope.secret_pkcs8_der();
    // SEQUENCE of 322 bytes, and at its end an OCTET STRING of 300.
    assert_eq!(&bytes[..4], [0x30, 0x82, 0x01, 0x42]);
    assert_eq!(&bytes[bytes.len() - 304..][..5], [0x04, 0x82, 0x01, 0x2c, 7]);
}

#[test]
fn a_short_value_has_a_short_length() {
    assert_eq!(der(0x04, &[&[1], &[2]]), [0x04, 2, 1, 2]);
    assert_eq!(der(0x04, &[&[0; 200]])[..3], [0x04, 0x81, 200]);
}

//! The certificate of a homeserver, signed by the authority that Complement puts into a container.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};

use crate::error::Error;

#[cfg(test)]
mod tests;

/// A certificate and its key, in PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) private_key: String,
}

/// Signs a certificate for `names`.
pub(crate) fn sign(
    authority_certificate: &str,
    authority_key: &[u8],
    names: &[&str],
) -> Result<Signed, Error> {
    let authority_key = pkcs8(PrivateKeyDer::from_pem_slice(authority_key)?);
    let issuer =
        Issuer::from_ca_cert_pem(authority_certificate, KeyPair::try_from(&authority_key)?)?;
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Signed { certificate: certificate.pem(), private_key: key.serialize_pem() })
}

/// Complement writes its RSA key as PKCS #1, which rcgen does not read: PKCS #8 is an envelope
/// around it (RFC 5208, section 5).
fn pkcs8(key: PrivateKeyDer<'static>) -> PrivatePkcs8KeyDer<'static> {
    const VERSION_0: &[u8] = &[0x02, 0x01, 0x00];
    const RSA_ENCRYPTION: &[u8] =
        &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    match key {
        PrivateKeyDer::Pkcs8(key) => key,
        PrivateKeyDer::Pkcs1(key) => {
            let key = der(0x04, &[key.secret_pkcs1_der()]);
            der(0x30, &[VERSION_0, RSA_ENCRYPTION, &key]).into()
        }
        other => other.secret_der().to_vec().into(),
    }
}

/// One value in DER: tag, length, contents.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let mut encoded = vec![tag];
    match u8::try_from(contents.len()) {
        Ok(length) if length < 0x80 => encoded.push(length),
        _ => {
            let length = contents.len().to_be_bytes();
            let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
            encoded.push(0x80 | u8::try_from(length.len()).unwrap_or(0));
            encoded.extend(length);
        }
    }
    encoded.extend(contents);
    encoded
}

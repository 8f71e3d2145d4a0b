//! The signing vectors of the specification's appendix.

use ruma::{
    serde::{Base64, base64::Standard},
    server_name,
};

use super::*;
use crate::canonical_json;

/// The key of the appendix: <https://spec.matrix.org/v1.19/appendices/#signing-key>.
pub(crate) fn appendix_key() -> SigningKey {
    let seed: Base64<Standard> =
        Base64::parse("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1").unwrap();
    SigningKey::from_seed(seed.as_bytes().try_into().unwrap(), "1").unwrap()
}

fn signed(json: &str) -> String {
    let mut object = canonical_json::parse(json.as_bytes()).unwrap();
    appendix_key().sign_json(server_name!("domain"), &mut object).unwrap();
    String::from_utf8(canonical_json::to_bytes(&object)).unwrap()
}

#[test]
fn json_is_signed_as_in_the_appendix() {
    assert_eq!(
        signed("{}"),
        r#"{"signatures":{"domain":{"ed25519:1":"K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"}}}"#
    );
    assert_eq!(
        signed(r#"{"two":"Two","one":1}"#),
        r#"{"one":1,"signatures":{"domain":{"ed25519:1":"KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"}},"two":"Two"}"#
    );
}

#[test]
fn a_generated_key_has_a_valid_id_and_hides_its_secret() {
    let key = SigningKey::generate([7; 32]).unwrap();
    assert!(key.key_id().as_str().starts_with("ed25519:k_"));
    assert_eq!(key.seed(), &[7; 32]);
    assert_eq!(key.public_key_base64().len(), 43);
    assert!(!format!("{key:?}").contains("seed"), "{key:?}");
    assert_eq!(
        SigningKey::from_seed([7; 32], key.version()).unwrap().public_key(),
        key.public_key()
    );
    assert_eq!(
        SigningKey::from_seed([7; 32], "a b").unwrap_err(),
        InvalidKeyVersion("a b".to_owned())
    );
}

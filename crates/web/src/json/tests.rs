//! Which body earns which error.

use bytes::Bytes;
use ruma::api::error::ErrorKind;
use serde::Deserialize;

use super::decode;

#[derive(Debug, Deserialize)]
struct Login {
    user: String,
    #[expect(dead_code, reason = "only its presence and type are tested")]
    device: Option<String>,
}

fn fails_with(body: &'static [u8]) -> ErrorKind {
    decode::<Login>(&Bytes::from_static(body)).unwrap_err().kind
}

#[test]
fn a_good_body_is_decoded() {
    assert_eq!(decode::<Login>(&Bytes::from_static(br#"{"user":"a"}"#)).unwrap().user, "a");
}

#[test]
fn each_kind_of_bad_body_has_its_error() {
    for (body, kind) in [
        (&b"{"[..], ErrorKind::NotJson),
        (b"user=a", ErrorKind::NotJson),
        (b"{\"user\":\"a\"} x", ErrorKind::NotJson),
        (b"{\"user\":\"\xff\"}", ErrorKind::NotJson),
        (b"{\"other\":\"\xff\"}", ErrorKind::NotJson),
        (b"\xff\xfe{\x00}\x00", ErrorKind::NotJson),
        (b"{\"user\":NaN}", ErrorKind::NotJson),
        (b"[]", ErrorKind::BadJson),
        (b"{\"user\":1}", ErrorKind::BadJson),
        (b"{\"user\":\"a\",\"device\":{}}", ErrorKind::BadJson),
        (b"{}", ErrorKind::MissingParam),
        (b"", ErrorKind::MissingParam),
    ] {
        assert_eq!(fails_with(body), kind, "{}", String::from_utf8_lossy(body));
    }
}

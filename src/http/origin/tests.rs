//! Headers honest and forged.

use axum::{body::Body, extract::Request};

use super::TrustedProxies;

fn client(peer: &str, forwarded: &[&str]) -> String {
    let proxies = proxies();
    let mut request = Request::builder();
    for value in forwarded {
        request = request.header("x-forwarded-for", *value);
    }
    let request = request.body(Body::empty()).unwrap();
    proxies.client(peer.parse().unwrap(), request.headers()).to_string()
}

fn proxies() -> TrustedProxies {
    TrustedProxies::new(&["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()])
}

#[test]
fn a_stranger_cannot_choose_its_address() {
    assert_eq!(client("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
}

#[test]
fn a_trusted_proxy_tells_the_last_stranger() {
    assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    assert_eq!(client("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
    assert_eq!(client("10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
    assert_eq!(client("10.0.0.1", &["6.6.6.6", "203.0.113.9"]), "203.0.113.9");
    assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
    assert_eq!(client("::1", &["[2001:db8::1]"]), "2001:db8::1");
    assert_eq!(client("10.0.0.1", &["203.0.113.9, nonsense"]), "10.0.0.1");
}

#[test]
fn the_host_is_the_clients() {
    let host = |peer: &str, headers: &[(&str, &str)]| {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        proxies().host(peer.parse().unwrap(), &request.body(Body::empty()).unwrap())
    };
    let forged = [("host", "Acme.Example:8448"), ("x-forwarded-host", "evil.example")];
    assert_eq!(host("192.0.2.1", &forged).unwrap(), "acme.example:8448");
    let proxied = [("host", "inner:8008"), ("x-forwarded-host", "acme.example")];
    assert_eq!(host("10.0.0.1", &proxied).unwrap(), "acme.example");
    assert_eq!(host("10.0.0.1", &[("host", "acme.example")]).unwrap(), "acme.example");
    assert_eq!(host("10.0.0.1", &[]), None);
}

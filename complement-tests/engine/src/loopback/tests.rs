//! Two engines side by side.

use std::collections::BTreeSet;

use super::Loopback;

#[test]
fn two_engines_share_nothing() {
    let (one, other) = (Loopback::take().unwrap(), Loopback::take().unwrap());
    assert_ne!(one.address().octets()[1], other.address().octets()[1]);
    let nothing = BTreeSet::new();
    assert_ne!(one.port(&nothing).unwrap(), other.port(&nothing).unwrap());
}

#[test]
fn addresses_and_ports_are_given_once() {
    let loopback = Loopback::take().unwrap();
    assert_ne!(loopback.address(), loopback.address());
    let port = loopback.port(&BTreeSet::new()).unwrap();
    assert_ne!(loopback.port(&BTreeSet::from([port])).unwrap(), port);
}

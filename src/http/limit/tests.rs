//! Counting connections.

use super::ConnectionLimit;

fn limit() -> ConnectionLimit {
    ConnectionLimit::new(4, 2, vec!["10.0.0.0/8".parse().unwrap()])
}

#[test]
fn one_address_gets_its_share_and_a_proxy_more() {
    let limit = limit();
    let enter = |address: &str| limit.enter(address.parse().unwrap());
    let first = enter("192.0.2.1").unwrap();
    let _second = enter("::ffff:192.0.2.1").unwrap();
    assert!(enter("192.0.2.1").is_none());
    let _proxied = (enter("10.0.0.1").unwrap(), enter("10.0.0.1").unwrap());
    assert!(enter("10.0.0.1").is_none(), "nobody gets past the limit of all");
    drop(first);
    assert!(enter("192.0.2.1").is_some());
}

#[test]
fn nothing_is_remembered_of_who_has_left() {
    let limit = limit();
    drop(limit.enter("192.0.2.1".parse().unwrap()));
    let open = limit.open.lock();
    assert!(open.all == 0 && open.by_address.is_empty());
}

//! What may be an address.

use super::Address;

#[test]
fn an_address_shows_as_an_mxc_address() {
    let address = Address::new("acme.example:8448", "aZ09_-").unwrap();
    assert_eq!(address.to_string(), "mxc://acme.example:8448/aZ09_-");
}

#[test]
fn nothing_that_could_walk_through_folders_is_an_address() {
    let ids =
        ["", ".", "..", "../x", "a/b", "a\\b", "a%2fb", "a\0b", "a b", "ä", "a.b", "a\n", "%"];
    for media_id in ids {
        assert_eq!(Address::new("acme.example", media_id), None, "{media_id:?}");
    }
    for server in ["", "../..", "a/b", "a\\b", "acme.example/..", "a b", "a\0", "x:y"] {
        assert_eq!(Address::new(server, "abc"), None, "{server:?}");
    }
    assert_eq!(Address::new("acme.example", &"a".repeat(256)), None);
}

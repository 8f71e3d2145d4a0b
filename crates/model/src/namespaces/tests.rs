use super::{Namespace, cover, reserve};

fn namespace(exclusive: bool, pattern: &str) -> Namespace {
    Namespace::new(exclusive, pattern).unwrap()
}

#[test]
fn an_expression_matches_from_the_first_character() {
    let irc = namespace(true, "@_irc_.*:acme\\.example");
    assert!(irc.covers("@_irc_bob:acme.example"));
    assert!(!irc.covers("x@_irc_bob:acme.example"));
    assert!(!irc.covers("@_irc_bob:acmexexample"));
    assert!(namespace(false, "@_irc_").covers("@_irc_bob:acme.example"));
    assert!(namespace(false, r"@\d+_\w*:").covers("@42_bob:acme.example"));
    // Both branches, not only the first.
    assert!(!namespace(false, "@a|@b").covers("x@b"));
}

#[test]
fn only_an_exclusive_namespace_reserves() {
    let namespaces = [namespace(false, ".*"), namespace(true, "@_irc_.*")];
    assert!(cover(&namespaces, "@alice:acme.example"));
    assert!(!reserve(&namespaces, "@alice:acme.example"));
    assert!(reserve(&namespaces, "@_irc_bob:acme.example"));
}

#[test]
fn what_is_no_expression_is_refused() {
    for pattern in ["(", "a)|(b", "*"] {
        assert!(Namespace::new(true, pattern).is_err(), "{pattern}");
    }
}

use super::*;

#[test]
fn a_token_is_read_as_what_was_written() {
    for token in [SyncToken::default(), SyncToken { log: 72_594, typing: 17 }] {
        assert_eq!(token.to_string().parse::<SyncToken>().unwrap(), token);
    }
}

#[test]
fn nonsense_is_no_token() {
    for token in ["", "s", "s1", "s1_", "t1_0", "s-1_0", "s1_2_3", "s18446744073709551616_0"] {
        assert!(token.parse::<SyncToken>().is_err(), "{token}");
    }
}

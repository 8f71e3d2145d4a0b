use super::*;

#[test]
fn a_token_is_read_as_what_was_written() {
    for token in [
        SyncToken::default(),
        SyncToken { log: 72_594, typing: 17, to_device: 72_590, presence: 9 },
    ] {
        assert_eq!(token.to_string().parse::<SyncToken>().unwrap(), token);
    }
}

#[test]
fn nonsense_is_no_token() {
    for token in [
        "",
        "s",
        "s1",
        "s1_2",
        "s1_2_",
        "s1_2_3",
        "t1_2_3_4",
        "s-1_0_0_0",
        "s1_2_3_4_5",
        "s18446744073709551616_0_0_0",
    ] {
        assert!(token.parse::<SyncToken>().is_err(), "{token}");
    }
}

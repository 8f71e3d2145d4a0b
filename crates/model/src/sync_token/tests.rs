//! Tokens come back as they went out; everything else is refused.

use expect_test::expect;
use proptest::prelude::*;

use super::*;

#[test]
fn a_token_is_short_and_fit_for_a_query() {
    let token = SyncToken { log: 1_234_567, ephemeral: 89 };
    expect!["sAYetS1k"].assert_eq(&token.to_string());
    assert_eq!("sAYetS1k".parse(), Ok(token));
}

#[test]
fn what_is_no_token_is_refused() {
    for text in [
        "",
        "s",
        "sAYetS1",
        "sAYetS1k=",
        "sAYetS1kA",
        "tAYetS1k",
        "AYetS1k",
        "sAoetS1k",
        "s123_4_5",
        "sAf__________gE",
        "s\u{e4}",
        "s AYet",
    ] {
        assert_eq!(text.parse::<SyncToken>(), Err(NotASyncToken), "{text:?}");
    }
    let long = format!("s{}", "A".repeat(1_000_000));
    assert_eq!(long.parse::<SyncToken>(), Err(NotASyncToken));
}

proptest! {
    #[test]
    fn every_token_comes_back(log: u64, ephemeral: u64) {
        let token = SyncToken { log, ephemeral };
        let text = token.to_string();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        prop_assert_eq!(text.parse(), Ok(token));
    }

    #[test]
    fn no_text_is_read_as_two_tokens(text in "s[A-Za-z0-9_-]{0,30}") {
        if let Ok(token) = text.parse::<SyncToken>() {
            // Only the padding of the last position can differ: 0x80 0x00 is a long zero.
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }
    }
}

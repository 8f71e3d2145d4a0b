//! Keys are ordered as their parts are, and come apart as they were put together.

use proptest::prelude::*;

use super::{KeyReader, KeyWriter};
use crate::after_prefix;

type Parts = (u8, u32, i64, u64, Vec<u8>);

fn key(parts: &Parts) -> bytes::Bytes {
    let (a, b, c, d, rest) = parts;
    KeyWriter::new().u8(*a).u32(*b).i64(*c).u64(*d).rest(rest).finish()
}

/// Few enough that parts are often equal.
fn parts() -> impl Strategy<Value = Parts> {
    let small = prop_oneof![Just(-1i64), Just(0), Just(i64::MIN), any::<i64>()];
    (0..3u8, 250..260u32, small, any::<u64>(), prop::collection::vec(any::<u8>(), 0..3))
}

proptest! {
    #[test]
    fn keys_are_ordered_as_their_parts(one in parts(), other in parts()) {
        prop_assert_eq!(key(&one).cmp(&key(&other)), one.cmp(&other));
    }

    #[test]
    fn parts_come_back(one in parts()) {
        let key = key(&one);
        let mut reader = KeyReader(&key);
        let found = (reader.u8(), reader.u32(), reader.i64(), reader.u64(), reader.rest());
        prop_assert_eq!(found, (Some(one.0), Some(one.1), Some(one.2), Some(one.3), &one.4[..]));
    }

    #[test]
    fn no_byte_of_a_part_is_a_separator(one: (Vec<u8>, Vec<u8>), other: (Vec<u8>, Vec<u8>)) {
        let key = |parts: &(Vec<u8>, Vec<u8>)| {
            KeyWriter::new().part(&parts.0).rest(&parts.1).finish()
        };
        prop_assert_eq!(key(&one) == key(&other), one == other);
        let whole = key(&one);
        let mut reader = KeyReader(&whole);
        prop_assert_eq!(reader.part(), Some(&one.0[..]));
        prop_assert_eq!(reader.rest(), &one.1[..]);
    }

    #[test]
    fn every_key_with_a_prefix_is_before_the_end_of_the_prefix(
        prefix in prop::collection::vec(prop_oneof![Just(0xff), any::<u8>()], 0..4),
        rest: Vec<u8>,
        other: Vec<u8>,
    ) {
        let end = after_prefix(&prefix);
        prop_assert!(*[&prefix[..], &rest].concat() < end[..]);
        let inside = *prefix <= *other && *other < *end;
        prop_assert_eq!(inside, other.starts_with(&prefix));
    }
}

#[test]
fn a_key_that_is_too_short_is_told() {
    assert_eq!(KeyReader(&[]).u8(), None);
    assert_eq!(KeyReader(&[1, 2, 3]).u32(), None);
    assert_eq!(KeyReader(&[1; 7]).u64(), None);
    assert_eq!(KeyReader(&[0, 3, b'a', b'b']).part(), None);
    assert_eq!(KeyReader(&[0]).part(), None);
}

//! The limits, from both sides.

use bytes::Bytes;

use super::{Case, LOG, LOOSE, World, bytes};
use crate::{BATCH_BYTES_MAX, CommitError, KEY_BYTES_MAX, Op, Precondition, VALUE_BYTES_MAX};

pub(super) const CASES: &[Case] = &[
    Case { name: "the longest key is taken", run: longest_key },
    Case { name: "a longer key is refused in every op", run: longer_key },
    Case { name: "the longest value is taken", run: longest_value },
    Case { name: "a longer value is refused", run: longer_value },
    Case { name: "a batch over 8 MB is refused", run: batch_too_large },
    Case { name: "a batch just under 8 MB is taken", run: batch_just_fits },
    Case { name: "a batch that is too large gets no version", run: no_version },
    Case { name: "every key of a homeserver can be deleted in one range", run: whole_range },
];

/// The homeserver's own bytes are part of a key.
const OWN_KEY_MAX: usize = KEY_BYTES_MAX - 4;

fn filled(length: usize) -> Bytes {
    vec![b'x'; length].into()
}

fn is_too_large(world: &World, op: Op) {
    assert!(matches!(world.refusal(world.of([op])), CommitError::TooLarge(_)));
}

fn longest_key(world: &World) {
    let key = filled(OWN_KEY_MAX);
    world.do_ops([Op::Put(LOOSE, key.clone(), bytes("v"))]);
    assert!(world.acme.snapshot().get(LOOSE, &key).expect("a read").is_some());
    world.do_ops([Op::PutAtVersion {
        table: LOG,
        prefix: filled(OWN_KEY_MAX - 8),
        suffix: bytes(""),
        value: bytes("v"),
    }]);
}

fn longer_key(world: &World) {
    let key = || filled(OWN_KEY_MAX + 1);
    is_too_large(world, Op::Put(LOOSE, key(), bytes("v")));
    is_too_large(world, Op::Delete(LOOSE, key()));
    is_too_large(world, Op::Add(LOOSE, key(), 1));
    is_too_large(world, Op::Max(LOOSE, key(), 1));
    is_too_large(world, Op::DeleteRange(LOOSE, bytes(""), filled(KEY_BYTES_MAX + 1)));
    let (prefix, suffix) = (filled(OWN_KEY_MAX - 8), bytes("y"));
    is_too_large(world, Op::PutAtVersion { table: LOOSE, prefix, suffix, value: bytes("v") });
    let batch = world.requiring(Precondition::Absent(LOOSE, key()));
    assert!(matches!(world.refusal(batch), CommitError::TooLarge(_)));
}

fn longest_value(world: &World) {
    world.do_ops([Op::Put(LOOSE, bytes("k"), filled(VALUE_BYTES_MAX))]);
    let value = world.acme.snapshot().get(LOOSE, b"k").expect("a read");
    assert_eq!(value, Some(filled(VALUE_BYTES_MAX)));
}

fn longer_value(world: &World) {
    is_too_large(world, Op::Put(LOOSE, bytes("k"), filled(VALUE_BYTES_MAX + 1)));
    let long = Precondition::Equals(LOOSE, bytes("k"), filled(VALUE_BYTES_MAX + 1));
    assert!(matches!(world.refusal(world.requiring(long)), CommitError::TooLarge(_)));
}

fn large(count: usize) -> impl Iterator<Item = Op> {
    (0..count).map(|n| Op::Put(LOG, bytes(&n.to_string()), filled(80_000)))
}

fn batch_too_large(world: &World) {
    let batch = world.of(large(BATCH_BYTES_MAX / 80_000));
    assert!(matches!(world.refusal(batch), CommitError::TooLarge(_)));
    assert!(world.keys(LOG).is_empty());
}

fn batch_just_fits(world: &World) {
    world.do_ops(large(BATCH_BYTES_MAX / 80_000 - 1));
    assert_eq!(world.keys(LOG).len(), BATCH_BYTES_MAX / 80_000 - 1);
}

fn no_version(world: &World) {
    world.refusal(world.of([Op::Delete(LOOSE, filled(OWN_KEY_MAX + 1))]));
    assert_eq!(world.do_ops([]), 1);
}

fn whole_range(world: &World) {
    let keys = [Bytes::new(), filled(OWN_KEY_MAX), vec![0xff; OWN_KEY_MAX].into()];
    world.do_ops(keys.map(|key| Op::Put(LOOSE, key, bytes("v"))));
    world.do_ops([Op::DeleteRange(LOOSE, Bytes::new(), crate::after_prefix(b""))]);
    let page = world.acme.snapshot().scan(LOOSE, b"", &[0xff; KEY_BYTES_MAX], false, 10);
    assert!(page.expect("a scan").rows.is_empty());
}

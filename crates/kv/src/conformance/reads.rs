//! Reads: several rows at once, and pages in both directions.

use super::{Case, LOG, LOOSE, TICKETS, World, bytes, delete, page_keys, put, text};
use crate::{Op, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page};

pub(super) const CASES: &[Case] = &[
    Case { name: "multi_get keeps the order of the keys", run: multi_get_order },
    Case { name: "multi_get of nothing is nothing", run: multi_get_nothing },
    Case { name: "multi_get answers a key twice", run: multi_get_twice },
    Case { name: "a scan is in byte order", run: byte_order },
    Case { name: "a scan starts at from and ends before to", run: half_open },
    Case { name: "a reverse scan is the same from the other end", run: reverse },
    Case { name: "a limit ends a page and says that there is more", run: limited },
    Case { name: "a reverse page is of the high end", run: limited_reverse },
    Case { name: "a page that ends with the range has no more", run: exact_limit },
    Case { name: "a limit of 0 tells whether there is anything", run: limit_zero },
    Case { name: "an empty or turned range has no rows", run: empty_range },
    Case { name: "a page has at most so many rows", run: rows_max },
    Case { name: "a page has at most so many bytes", run: bytes_max },
    Case { name: "scan_prefix shows every row, page by page", run: scan_prefix },
    Case { name: "scan_prefix ends where the prefix ends", run: scan_prefix_end },
    Case { name: "a prefix of the highest byte is scanned", run: highest_prefix },
    Case { name: "a scan does not show deleted rows", run: deleted },
    Case { name: "a scan shows expiring rows without their time", run: expiring },
    Case { name: "numbers in keys are in the order of numbers", run: number_order },
];

fn fill(world: &World) {
    world.do_ops(["a", "b", "c", "d", "e"].map(|key| put(LOG, key, &key.to_uppercase())));
}

fn scan(world: &World, from: &str, to: &str, reverse: bool, limit: usize) -> Page {
    let snapshot = world.acme.snapshot();
    snapshot.scan(LOG, from.as_bytes(), to.as_bytes(), reverse, limit).expect("a scan")
}

fn multi_get_order(world: &World) {
    fill(world);
    let keys = ["d", "nowhere", "a"].map(bytes);
    let found = world.acme.snapshot().multi_get(LOG, &keys).expect("a read");
    assert_eq!(found, [Some(bytes("D")), None, Some(bytes("A"))]);
}

fn multi_get_nothing(world: &World) {
    assert!(world.acme.snapshot().multi_get(LOG, &[]).expect("a read").is_empty());
}

fn multi_get_twice(world: &World) {
    fill(world);
    let found = world.acme.snapshot().multi_get(LOG, &["b", "b"].map(bytes)).expect("a read");
    assert_eq!(found, [Some(bytes("B")), Some(bytes("B"))]);
}

fn byte_order(world: &World) {
    let keys: [&[u8]; 6] = [b"", b"\0", b"a", b"a\0", b"ab", b"\xff\xff"];
    world.do_ops(
        keys.iter().rev().map(|key| Op::Put(LOG, bytes::Bytes::copy_from_slice(key), bytes("v"))),
    );
    let page = world.acme.snapshot().scan(LOG, b"", &[0xff; 8], false, 100).expect("a scan");
    assert_eq!(page.rows.iter().map(|(key, _)| key.as_ref()).collect::<Vec<_>>(), keys);
}

fn half_open(world: &World) {
    fill(world);
    let page = scan(world, "b", "d", false, 100);
    assert_eq!(page.rows, [(bytes("b"), bytes("B")), (bytes("c"), bytes("C"))]);
    assert!(!page.more);
}

fn reverse(world: &World) {
    fill(world);
    let page = scan(world, "b", "e", true, 100);
    assert_eq!(page_keys(&page), ["d", "c", "b"]);
    assert!(!page.more);
}

fn limited(world: &World) {
    fill(world);
    let page = scan(world, "a", "z", false, 2);
    assert_eq!(page_keys(&page), ["a", "b"]);
    assert!(page.more);
}

fn limited_reverse(world: &World) {
    fill(world);
    let page = scan(world, "a", "z", true, 2);
    assert_eq!(page_keys(&page), ["e", "d"]);
    assert!(page.more);
}

fn exact_limit(world: &World) {
    fill(world);
    for reverse in [false, true] {
        let page = scan(world, "b", "d", reverse, 2);
        assert_eq!(page.rows.len(), 2);
        assert!(!page.more);
    }
}

fn limit_zero(world: &World) {
    fill(world);
    assert!(scan(world, "a", "z", false, 0).more);
    assert!(scan(world, "a", "z", false, 0).rows.is_empty());
    assert!(!scan(world, "x", "z", false, 0).more);
}

fn empty_range(world: &World) {
    fill(world);
    for reverse in [false, true] {
        assert!(scan(world, "c", "c", reverse, 10).rows.is_empty());
        assert!(scan(world, "d", "b", reverse, 10).rows.is_empty());
        assert!(!scan(world, "d", "b", reverse, 10).more);
    }
}

fn rows_max(world: &World) {
    world.do_ops((0..=PAGE_ROWS_MAX).map(|n| put(LOG, &format!("{n:05}"), "")));
    for reverse in [false, true] {
        let page = scan(world, "", "z", reverse, usize::MAX);
        assert_eq!(page.rows.len(), PAGE_ROWS_MAX);
        assert!(page.more);
    }
}

fn bytes_max(world: &World) {
    let value = "v".repeat(80_000);
    world.do_ops((0..20).map(|n| put(LOG, &format!("{n:05}"), &value)));
    for reverse in [false, true] {
        let page = scan(world, "", "z", reverse, usize::MAX);
        let bytes: usize = page.rows.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(bytes >= PAGE_BYTES_MAX, "{bytes}");
        assert!(bytes < PAGE_BYTES_MAX + 80_100, "{bytes}");
        assert!(page.more);
    }
}

fn scan_prefix(world: &World) {
    let keys: Vec<String> = (0..2_500).map(|n| format!("p{n:05}")).collect();
    world.do_ops(keys.iter().map(|key| put(LOG, key, "")));
    assert_eq!(world.keys(LOG), keys);
}

fn scan_prefix_end(world: &World) {
    world.do_ops(["o", "p", "p1", "p2", "q"].map(|key| put(LOOSE, key, "")));
    let mut found = Vec::new();
    let snapshot = world.acme.snapshot();
    let scanned = snapshot.scan_prefix(LOOSE, b"p", |key, _| {
        found.push(text(key));
        Ok(())
    });
    scanned.expect("a scan");
    assert_eq!(found, ["p", "p1", "p2"]);
}

fn highest_prefix(world: &World) {
    let key = bytes::Bytes::from_static(&[0xff, 0xff, 1]);
    world.do_ops([Op::Put(LOOSE, key.clone(), bytes("v")), put(LOOSE, "low", "v")]);
    let mut found = Vec::new();
    let snapshot = world.acme.snapshot();
    let scanned = snapshot.scan_prefix(LOOSE, &[0xff, 0xff], |key, _| {
        found.push(key.to_vec());
        Ok(())
    });
    scanned.expect("a scan");
    assert_eq!(found, [key.to_vec()]);
}

fn deleted(world: &World) {
    fill(world);
    world.do_ops([delete(LOG, "b"), super::delete_range(LOG, "d", "z")]);
    for reverse in [false, true] {
        let mut keys = page_keys(&scan(world, "a", "z", reverse, 2));
        keys.sort();
        assert_eq!(keys, ["a", "c"]);
        assert!(!scan(world, "a", "z", reverse, 2).more);
    }
}

fn expiring(world: &World) {
    world.do_ops([put(TICKETS, "k", "v")]);
    let page = world.acme.snapshot().scan(TICKETS, b"", b"z", false, 10).expect("a scan");
    assert_eq!(page.rows, [(bytes("k"), bytes("v"))]);
}

fn number_order(world: &World) {
    let numbers = [i64::MIN, -1, 0, 1, 255, 256, i64::MAX];
    let key = |number: &i64| crate::KeyWriter::new().i64(*number).finish();
    world.do_ops(numbers.iter().rev().map(|number| Op::Put(LOG, key(number), bytes(""))));
    let page = world.acme.snapshot().scan(LOG, b"", &[0xff; 9], false, 10).expect("a scan");
    let found: Vec<_> = page.rows.iter().map(|(key, _)| crate::KeyReader(key).i64()).collect();
    assert_eq!(found, numbers.map(Some));
}

//! The text of this very program.

use super::{give_back, text_of};

const MAPS: &str = "\
1000-3000 r--p 00000000 fe:00 7 /opt/a/kontor
3000-8000 r-xp 00003000 fe:00 7 /opt/a/kontor
8000-9000 r--p 00008000 fe:00 7 /opt/a/kontor
9000-a000 rw-p 00009000 fe:00 7 /opt/a/kontor
b000-c000 r-xp 00000000 fe:00 8 /usr/lib/libc.so.6
d000-e000 r-xp 00000000 00:00 0 [vdso]
";

#[test]
fn only_what_cannot_be_written_is_text() {
    let found: Vec<_> = text_of(MAPS, "/opt/a/kontor").map(|text| (text.start, text.end)).collect();
    assert_eq!(found, [(0x3000, 0x8000)]);
    assert_eq!(text_of(MAPS, "/kontor").count(), 0);
}

#[test]
fn a_program_goes_on_without_its_text() {
    for _ in 0..3 {
        give_back().unwrap();
        only_what_cannot_be_written_is_text();
    }
}

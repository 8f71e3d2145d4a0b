//! A power cut: the file system stops at once, and what was not synced is gone.

use harness::Disk;

use crate::witness::Witness;

const ROUNDS: u64 = 6;

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let Some(mut disk) = Disk::format() else {
        // Without the right to mount, the next worse crash has to do.
        return crate::kill::goes_through_kills(6);
    };
    let store = disk.root().join("store");
    let mut witness = Witness::default();
    for round in 0..ROUNDS {
        let writer = witness.start(&store, round);
        witness.freeze(&writer);
        disk.cut_power();
        witness.end(writer);
        disk.restore_power();
        witness.check(&store);
    }
}

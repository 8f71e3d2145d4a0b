use super::{Machine, Run, markdown};
use crate::workloads::{lone, send};

#[test]
fn the_page_sets_targets_beside_each_other_and_beside_the_aims() {
    let machine = Machine {
        date: "2026-11-22 10:00".into(),
        commit: "abc".into(),
        hardware: "two cores".into(),
    };
    let kontor = Run {
        target: "Kontor",
        durability: "synced",
        load: "0.10".into(),
        figures: vec![send::CPU.at(8, 100.0), send::CPU.at(64, 80.0), lone::OVER.is(0.5)],
    };
    let synapse = Run {
        target: "Synapse",
        durability: "synced too",
        load: "0.20".into(),
        figures: vec![send::CPU.at(8, 11_000.0)],
    };
    let page = markdown(&machine, &[kontor, synapse], "## Notes\n");
    let lines = [
        "| reached | send: CPU each (8 senders at once) | 90 × better | 100 µs | 11.0 ms | 110.0 |",
        "| **missed** | lone send: p50 above one sync of this disk | ≤ 0.300 ms | 0.500 ms |  |  |",
        "| send: CPU each (64 senders at once) | 80.0 µs |  |  |",
    ];
    for line in lines {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    assert!(page.ends_with("## Notes\n"));
}

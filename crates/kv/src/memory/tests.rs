//! The memory engine: the conformance suite and its hooks.

use std::sync::Arc;

use super::MemoryEngine;
use crate::conformance;

#[test]
fn the_memory_engine_passes_every_case() {
    let failed = conformance::examine(Arc::new(MemoryEngine::new(&conformance::TABLES)));
    assert!(failed.is_empty(), "{failed:#?}");
}

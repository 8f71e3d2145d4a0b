//! The Python environment with the peers and clients that nobody here wrote.

use crate::settings::cache;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

const DIGITS_OF_HASH: usize = 12;

/// The interpreter that `tools/setup.sh --tests` installed for exactly our pins.
pub fn python() -> PathBuf {
    let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/python-requirements.txt");
    let text = std::fs::read(&pins).unwrap_or_else(|e| panic!("{}: {e}", pins.display()));
    let hash = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let python = cache().join(format!("python-{}", &hash[..DIGITS_OF_HASH])).join("bin/python");
    assert!(
        python.exists(),
        "{} is missing: run `eval \"$(tools/setup.sh --tests)\"` first",
        python.display()
    );
    python
}

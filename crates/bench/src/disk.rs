//! The disk beside the servers: what one sync of it takes, and what a folder takes on it.

use crate::{figure::quantile, meter::millis};
use std::{fs::File, io::Write, os::unix::fs::MetadataExt, path::Path};
use tokio::time::Instant;

const RECORD_BYTES: usize = 1_024;
const RECORDS: usize = 200;
/// What stat(2) counts in, whatever the file system's own blocks are.
const BLOCK_BYTES: u64 = 512;

/// The median of appending a record to a file of this folder and syncing it, alone, in
/// milliseconds: what every durable answer must at least wait for.
pub(crate) fn sync_time(folder: &Path) -> f64 {
    let path = folder.join("sync-probe");
    let mut file = File::create(&path).expect("a file for the probe");
    let mut times = (0..RECORDS)
        .map(|_| {
            let started = Instant::now();
            file.write_all(&[7; RECORD_BYTES]).expect("the probe is written");
            file.sync_data().expect("the probe is synced");
            millis(started.elapsed())
        })
        .collect::<Vec<_>>();
    std::fs::remove_file(&path).expect("the probe is removed");
    quantile(&mut times, 0.5)
}

/// Bytes that the disk gives to a folder.
pub(crate) fn usage(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .filter_map(Result::ok)
        // A file may go away while we look.
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, meta)| if meta.is_dir() { usage(&path) } else { meta.blocks() * BLOCK_BYTES })
        .sum()
}

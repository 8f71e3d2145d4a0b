//! The folder of a store, held against other processes.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::StoreError;

const LOCK_FILE: &str = "kontor.lock";
const PROBE_FILE: &str = "kontor.probe";

/// A folder that no other engine can open while this lives. RocksDB has a lock of its own, but
/// lets go of it while the database is reopened.
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    pub fn lock(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: io::Error| {
            StoreError::Open(format!("folder {}: {error}", path.display()).into())
        };
        if !path.is_dir() {
            fs::create_dir_all(path).map_err(failed)?;
            sync_parent(path).map_err(failed)?;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK_FILE))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Open(
                    format!("folder {} is in use by another process", path.display()).into(),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self { path: path.to_owned(), lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a database here.
    ///
    /// `CURRENT` is the first thing that RocksDB looks for; without it, it would start a new
    /// database on top of the table files of the old one.
    pub fn holds_database(&self) -> Result<bool, StoreError> {
        if self.path.join("CURRENT").exists() {
            return Ok(true);
        }
        if self.bytes_of("sst") > 0 || self.bytes_of("log") > 0 {
            return Err(StoreError::Open(
                format!("folder {} has lost its file CURRENT", self.path.display()).into(),
            ));
        }
        Ok(false)
    }

    /// The bytes of all files with this extension.
    pub fn bytes_of(&self, extension: &str) -> u64 {
        let Ok(files) = fs::read_dir(&self.path) else { return 0 };
        files
            .filter_map(Result::ok)
            .filter(|file| file.path().extension().is_some_and(|found| found == extension))
            .filter_map(|file| file.metadata().ok())
            .map(|metadata| metadata.len())
            .sum()
    }

    /// Whether this many bytes can be made durable here, found out by doing it: free space that a
    /// quota or a limit does not grant is none.
    pub fn has_space_for(&self, bytes: u64) -> bool {
        static CHUNK: [u8; 64 << 10] = [0xa5; 64 << 10];
        let path = self.path.join(PROBE_FILE);
        let attempt = || -> io::Result<()> {
            let mut file = File::create(&path)?;
            for _ in 0..bytes.div_ceil(CHUNK.len() as u64) {
                file.write_all(&CHUNK)?;
            }
            file.sync_all()
        };
        let fits = attempt().is_ok();
        // What cannot be removed now is overwritten by the next attempt.
        drop(fs::remove_file(&path));
        fits
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing the file alone would not do while a child process, just forked, has a copy of it.
        drop(self.lock.unlock());
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

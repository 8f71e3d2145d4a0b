//! The end of the log after a power cut.
//!
//! Each write is synced before the next begins, so a power cut can only have damaged the last
//! record of the newest log, and nobody was told of that one. A disk may have kept any of its pages
//! and lost the others; RocksDB itself forgives only a record that was cut short, refuses to open
//! after any other loss, and takes some damage in front of good records for a record cut short. So
//! the newest log is examined before RocksDB sees it: a torn last record is cut off, and damage
//! with a whole record after it is refused, for it was not a power cut that did that.
//!
//! The format of the log: <https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format>

mod crc32c;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use self::crc32c::crc32c;
use crate::StoreError;

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;
/// More than any one write takes; a torn record cannot be longer.
const TORN_BYTES_MAX: u64 = 64 << 20;

/// Cuts a torn last record off the newest log in this folder; refuses any other damage of it.
pub(super) fn mend(folder: &Path) -> Result<(), StoreError> {
    let path = match newest(folder) {
        Ok(Some(path)) => path,
        Ok(None) => return Ok(()),
        Err(error) => return Err(failed(folder, &error)),
    };
    let mended = (|| -> io::Result<Finding> {
        let file = File::options().read(true).write(true).open(&path)?;
        let finding = examine(&file)?;
        if let Finding::Torn { keep, bytes } = finding {
            file.set_len(keep)?;
            file.sync_all()?;
            let log = path.display();
            tracing::warn!(%log, bytes, "cut off a commit that was never acknowledged");
        }
        Ok(finding)
    })();
    match mended {
        Ok(Finding::Sound | Finding::Torn { .. }) => Ok(()),
        Ok(Finding::Damaged { at }) => Err(StoreError::Open(
            format!("Corruption: {} is damaged at byte {at}, before its end", path.display())
                .into(),
        )),
        Err(error) => Err(failed(&path, &error)),
    }
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Open(format!("{}: {error}", path.display()).into())
}

/// The log with the highest number that is not empty.
fn newest(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest: Option<(u64, PathBuf)> = None;
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let number = path
            .extension()
            .filter(|extension| *extension == "log")
            .and_then(|_| path.file_stem()?.to_str()?.parse::<u64>().ok());
        if let Some(number) = number
            && newest.as_ref().is_none_or(|(other, _)| *other < number)
            && fs::metadata(&path)?.len() > 0
        {
            newest = Some((number, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Sound,
    /// Only the first `keep` bytes are whole records; so many follow.
    Torn {
        keep: u64,
        bytes: u64,
    },
    Damaged {
        at: u64,
    },
}

fn examine(file: &File) -> io::Result<Finding> {
    let length = file.metadata()?.len();
    let mut walk = Walk::default();
    let mut block = [0; BLOCK_BYTES];
    let mut start = 0;
    while start < length {
        let bytes = (length - start).min(BLOCK_BYTES as u64) as usize;
        file.read_exact_at(&mut block[..bytes], start)?;
        if let Some(at) = walk.block(&block[..bytes], start) {
            return after_damage(file, length, walk.keep, at);
        }
        start += bytes as u64;
    }
    Ok(torn_or_sound(walk.keep, length))
}

fn torn_or_sound(keep: u64, length: u64) -> Finding {
    match length - keep {
        // Less than a header fits at the end of a block, and is left empty.
        0 => Finding::Sound,
        bytes => Finding::Torn { keep, bytes },
    }
}

/// What to make of the bytes from `at` on, where there is no fragment that belongs there.
fn after_damage(file: &File, length: u64, keep: u64, at: u64) -> io::Result<Finding> {
    if length - at > TORN_BYTES_MAX {
        return Ok(Finding::Damaged { at });
    }
    let mut rest = vec![0; (length - at) as usize];
    file.read_exact_at(&mut rest, at)?;
    let first_block = BLOCK_BYTES - (at as usize % BLOCK_BYTES);
    let (first, others) = rest.split_at(first_block.min(rest.len()));
    let again = (1..first.len()).any(|at| begins_record(&first[at..]))
        || others.chunks(BLOCK_BYTES).any(block_begins_record);
    Ok(if again { Finding::Damaged { at } } else { torn_or_sound(keep, length) })
}

/// Whether a whole fragment that is the first of its record is in this block, which may be damaged.
fn block_begins_record(block: &[u8]) -> bool {
    let mut at = 0;
    while let Some(fragment) = Fragment::at(&block[at..]) {
        if fragment.begins() {
            return true;
        }
        at += fragment.bytes;
    }
    (at..block.len()).any(|at| begins_record(&block[at..]))
}

fn begins_record(bytes: &[u8]) -> bool {
    // The cheap question first: this is asked for every byte of a damaged block.
    matches!(bytes.get(6), Some(1 | 2)) && Fragment::at(bytes).is_some()
}

/// Reads fragments in order, and knows where the last whole record ended.
#[derive(Default)]
struct Walk {
    keep: u64,
    inside: bool,
}

impl Walk {
    /// Goes through one block; where its damage begins, if it has some.
    fn block(&mut self, block: &[u8], start: u64) -> Option<u64> {
        let mut at = 0;
        while block.len() - at >= HEADER_BYTES {
            let fragment = Fragment::at(&block[at..]).filter(|it| it.continues() == self.inside);
            let Some(fragment) = fragment else { return Some(start + at as u64) };
            at += fragment.bytes;
            self.inside = !fragment.ends();
            if fragment.ends() {
                self.keep = start + at as u64;
            }
        }
        // What is left of a full block is its trailer.
        if block.len() == BLOCK_BYTES && !self.inside {
            self.keep = start + BLOCK_BYTES as u64;
        }
        None
    }
}

/// A piece of a record that lies within one block.
#[derive(Clone, Copy)]
struct Fragment {
    kind: Kind,
    bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    First,
    Middle,
    Last,
}

impl Fragment {
    /// The fragment that the bytes (up to the end of the block) begin with, if its checksum is
    /// right.
    fn at(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let [c0, c1, c2, c3, l0, l1, kind] = *header;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let payload = rest.get(..length)?;
        let checked = [&[kind], payload];
        let sum = crc32c(&checked).rotate_right(15).wrapping_add(0xa282_ead8);
        let kind = match kind {
            1 => Kind::Whole,
            2 => Kind::First,
            3 => Kind::Middle,
            4 => Kind::Last,
            _ => return None,
        };
        let right = sum == u32::from_le_bytes([c0, c1, c2, c3]);
        right.then_some(Self { kind, bytes: HEADER_BYTES + length })
    }

    fn begins(self) -> bool {
        matches!(self.kind, Kind::Whole | Kind::First)
    }

    fn continues(self) -> bool {
        !self.begins()
    }

    fn ends(self) -> bool {
        matches!(self.kind, Kind::Whole | Kind::Last)
    }
}

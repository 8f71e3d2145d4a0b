//! The program's own text in memory, of which a start needs most and the time after it little.
//!
//! Every page of the program that was ever run counts as memory of the process, and its neighbours
//! with it, until the system is short of memory and takes it back. After the start they are given
//! back at once; what is needed again is mapped again, at first use, from the system's page cache.

use std::{env, fs, io, ops::Range};

#[cfg(test)]
mod tests;

/// Gives back the pages of the program's text.
pub(crate) fn give_back() -> io::Result<()> {
    let program = env::current_exe()?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    text_of(&maps, &program.to_string_lossy()).try_for_each(unmap)
}

/// Where the text of the program is, in the words of `/proc/self/maps`.
fn text_of<'a>(maps: &'a str, program: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    maps.lines().filter_map(move |line| {
        let (place, rest) = line.split_once(' ')?;
        // What may be written, or was while the program was linked, is not only in the file.
        let is_text = rest.starts_with("r-xp ") && rest.ends_with(&format!(" {program}"));
        let (start, end) = place.split_once('-').filter(|_| is_text)?;
        Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
    })
}

#[allow(unsafe_code, reason = "the libraries for it are not safe either")]
fn unmap(text: Range<usize>) -> io::Result<()> {
    let start = std::ptr::with_exposed_provenance_mut(text.start);
    // SAFETY: this is a private mapping of the program's file that cannot be written. Its pages are
    // as they are in the file, from which they come back when they are next read.
    match unsafe { libc::madvise(start, text.len(), libc::MADV_DONTNEED) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

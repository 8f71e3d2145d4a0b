//! A homeserver's files in an archive.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
};

use super::frames::{Frame, FrameWriter};

const PIECE_BYTES: usize = 256 * 1024;
/// Files that are still being written; nothing refers to them.
const TEMPORARY: &str = "temporary";

pub(super) fn write(folder: &Path, frames: &mut FrameWriter<impl Write>) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        let entries = match fs::read_dir(&current) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && entry.file_name() != OsStr::new(TEMPORARY) {
                folders.push(entry.path());
            } else if kind.is_file() {
                write_file(folder, &entry.path(), frames)?;
            }
        }
    }
    Ok(())
}

fn write_file(folder: &Path, file: &Path, frames: &mut FrameWriter<impl Write>) -> io::Result<()> {
    let relative = file.strip_prefix(folder).map_err(io::Error::other)?;
    let relative = relative.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    // A file that was removed since the folder was listed is no longer part of the homeserver.
    let mut input = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        input => input?,
    };
    frames.write(&Frame::File(relative.to_owned()))?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match input.read(&mut piece)? {
            0 => return Ok(()),
            count => frames.write(&Frame::Piece(piece[..count].to_vec()))?,
        }
    }
}

/// Writes the files of an archive below a folder, and nowhere else.
pub(super) struct Writer<'a> {
    folder: &'a Path,
    current: Option<File>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder, current: None }
    }

    /// Begins a file; `None` if its path would lead out of the folder.
    pub(super) fn open(&mut self, path: &str) -> io::Result<Option<()>> {
        self.close()?;
        let path = PathBuf::from(path);
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Ok(None);
        }
        let path = self.folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        self.current = Some(File::create_new(path)?);
        Ok(Some(()))
    }

    pub(super) fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.current.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.close()
    }

    fn close(&mut self) -> io::Result<()> {
        self.current.take().map_or(Ok(()), |file| file.sync_all())
    }
}

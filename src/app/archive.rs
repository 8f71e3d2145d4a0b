//! A homeserver in one file: every row of the store and every file of its media.
//!
//! The file is a line that says what it is, then frames: a length (u32, little-endian) and a
//! [`Frame`] in postcard. The last frame has the SHA-256 of everything before it, and is checked
//! before anything is imported. The file holds the signing key and everybody's messages, so only
//! its owner may read it.

mod frames;
mod media;

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use kv::{Batch, BatchId, CommitError, Engine, HomeserverId, Store, StoreError, Table};
use model::ids::Ids;
use ruma::OwnedServerName;

use self::frames::{Frame, FrameReader, FrameWriter, Header};

/// Bytes of rows that are imported in one commit.
const BATCH_BYTES: usize = 500_000;

/// What is exported.
pub(super) struct Source {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) id: HomeserverId,
    pub(super) server_name: OwnedServerName,
    pub(super) media: PathBuf,
    pub(super) exported_ms: u64,
}

/// Where it is imported.
pub(super) struct Target {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) id: HomeserverId,
    pub(super) media: PathBuf,
}

/// A file that is whole.
pub(super) struct Checked {
    pub(super) server_name: OwnedServerName,
    file: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("{}: {cause}", file.display())]
    Io { file: PathBuf, cause: io::Error },
    #[error("{} is no export of Kontor", file.display())]
    Foreign { file: PathBuf },
    #[error("{} is damaged", file.display())]
    Damaged { file: PathBuf },
    #[error("the table {0} is unknown: the export is of a newer version")]
    UnknownTable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Runs what waits for a disk where waiting is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panicked) => match panicked.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Read("the server is stopping".into()).into()),
        },
    }
}

/// Writes the file. It appears under its name only when it is whole and on disk.
pub(super) fn write(source: &Source, file: &Path) -> Result<(), ArchiveError> {
    let partial = file.with_added_extension("partial");
    let io = |cause| ArchiveError::Io { file: file.to_owned(), cause };
    let open = File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial);
    let written = open.map_err(io).and_then(|output| {
        let mut frames = FrameWriter::new(BufWriter::new(output)).map_err(io)?;
        write_frames(source, &mut frames).map_err(|error| error.of(file))?;
        let output = frames.finish().map_err(io)?;
        output.into_inner().map_err(|error| io(error.into_error()))?.sync_all().map_err(io)
    });
    match written {
        Ok(()) => fs::rename(&partial, file).map_err(io),
        Err(error) => {
            // What is there is of no use, and may hold secrets.
            let _ = fs::remove_file(&partial);
            Err(error)
        }
    }
}

fn write_frames(source: &Source, frames: &mut FrameWriter<impl Write>) -> Result<(), WriteError> {
    frames.write(&Frame::Header(Header {
        server_name: source.server_name.to_string(),
        exported_ms: source.exported_ms,
    }))?;
    let mut current: Option<&'static str> = None;
    let mut failed: Option<io::Error> = None;
    let exported = source.engine.export(source.id, &mut |table, key, value| {
        let mut row = || {
            if current != Some(table.name) {
                current = Some(table.name);
                frames.write(&Frame::Table(table.name.to_owned()))?;
            }
            frames.write(&Frame::Row(key.to_vec(), value.to_vec()))
        };
        row().map_err(|error| {
            let why = StoreError::Read(error.to_string().into());
            failed = Some(error);
            why
        })
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    exported?;
    // Read after the rows, so that no row carries a later version.
    frames.write(&Frame::Version(source.engine.version(source.id)?))?;
    media::write(&source.media, frames)?;
    Ok(())
}

/// Reads the file once, and tells whose it is.
pub(super) fn check(file: &Path) -> Result<Checked, ArchiveError> {
    let damaged = || ArchiveError::Damaged { file: file.to_owned() };
    let mut frames = open(file)?;
    let Some(Frame::Header(header)) = next(&mut frames, file)? else { return Err(damaged()) };
    let server_name = OwnedServerName::try_from(header.server_name).map_err(|_| damaged())?;
    while next(&mut frames, file)?.is_some() {}
    Ok(Checked { server_name, file: file.to_owned() })
}

/// Imports a file that is whole.
pub(super) async fn read(checked: Checked, target: Target) -> Result<(), ArchiveError> {
    let runtime = tokio::runtime::Handle::current();
    blocking(move || read_blocking(&checked.file, &target, &runtime)).await
}

fn read_blocking(
    file: &Path,
    target: &Target,
    runtime: &tokio::runtime::Handle,
) -> Result<(), ArchiveError> {
    let io = |cause| ArchiveError::Io { file: file.to_owned(), cause };
    let damaged = || ArchiveError::Damaged { file: file.to_owned() };
    let mut frames = open(file)?;
    let mut rows = Rows::new(target, runtime);
    let mut media = media::Writer::new(&target.media);
    while let Some(frame) = next(&mut frames, file)? {
        match frame {
            Frame::Header(_) | Frame::End(_) => {}
            Frame::Table(name) => rows.table(&name)?,
            Frame::Row(key, value) => rows.put(key, value)?,
            Frame::Version(version) => rows.raise_version(version)?,
            Frame::File(path) => media.open(&path).map_err(io)?.ok_or_else(damaged)?,
            Frame::Piece(bytes) => media.piece(&bytes).map_err(io)?,
        }
    }
    media.finish().map_err(io)
}

/// Rows on their way into the store.
struct Rows<'a> {
    target: &'a Target,
    runtime: &'a tokio::runtime::Handle,
    store: Store,
    table: Option<Table>,
    batch: Batch,
    bytes: usize,
}

impl<'a> Rows<'a> {
    fn new(target: &'a Target, runtime: &'a tokio::runtime::Handle) -> Self {
        let store = Store::new(target.engine.clone(), target.id);
        let batch = Batch::new(BatchId(target.ids.batch_id()));
        Self { target, runtime, store, table: None, batch, bytes: 0 }
    }

    fn table(&mut self, name: &str) -> Result<(), ArchiveError> {
        let found = store::TABLES.iter().find(|table| table.name == name);
        let found = found.ok_or_else(|| ArchiveError::UnknownTable(name.to_owned()))?;
        self.table = Some(*found);
        Ok(())
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), ArchiveError> {
        let Some(table) = self.table else { return Ok(()) };
        self.bytes += key.len() + value.len();
        self.batch.put(table, key, value);
        if self.bytes >= BATCH_BYTES { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), ArchiveError> {
        let empty = Batch::new(BatchId(self.target.ids.batch_id()));
        let batch = std::mem::replace(&mut self.batch, empty);
        self.bytes = 0;
        if !batch.ops.is_empty() {
            self.runtime.block_on(self.store.commit(batch))?;
        }
        Ok(())
    }

    /// New commits must not be given a version that the imported rows carry.
    fn raise_version(&mut self, version: u64) -> Result<(), ArchiveError> {
        self.commit()?;
        self.runtime.block_on(self.target.engine.raise_version(self.target.id, version))?;
        Ok(())
    }
}

/// What can go wrong while frames are written; the file's name is added later.
enum WriteError {
    Io(io::Error),
    Store(StoreError),
}

impl WriteError {
    fn of(self, file: &Path) -> ArchiveError {
        match self {
            Self::Io(cause) => ArchiveError::Io { file: file.to_owned(), cause },
            Self::Store(error) => error.into(),
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn open(file: &Path) -> Result<FrameReader<BufReader<File>>, ArchiveError> {
    let input =
        File::open(file).map_err(|cause| ArchiveError::Io { file: file.to_owned(), cause })?;
    FrameReader::new(BufReader::new(input))
        .map_err(|_| ArchiveError::Foreign { file: file.to_owned() })
}

fn next(
    frames: &mut FrameReader<BufReader<File>>,
    file: &Path,
) -> Result<Option<Frame>, ArchiveError> {
    frames.next().map_err(|_| ArchiveError::Damaged { file: file.to_owned() })
}

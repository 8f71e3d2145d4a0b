//! Blobs: bytes under the name of their SHA-256, in a folder.
//!
//! A blob is written to a temporary file, synced, renamed to its name, and the folder is synced;
//! only then may a row name it. So a crash leaves a temporary file (removed at the next start) or a
//! blob that no row names (collected when it is old enough), never a row without its blob.
//! No name in this folder comes from outside: there is nothing to traverse.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use model::{clock::Clock, ids::Ids};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use store::media::BlobId;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
    sync::OnceCell,
};
use tokio_util::io::ReaderStream;

/// Bytes of a file on their way in or out.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Bytes that are read from a blob at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// One homeserver's blobs. Cheap to clone.
#[derive(Clone)]
pub struct BlobStore(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    /// Set when the folder was made and what a crash left was removed.
    opened: OnceCell<()>,
    blobs: PathBuf,
    temporary: PathBuf,
    /// Held while a blob gets its name and while an old one is removed, so that a blob that was
    /// just written again is not taken for the old one.
    naming: Mutex<()>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

/// A blob that is being written. Dropped unfinished, it leaves nothing.
pub struct BlobWriter {
    store: BlobStore,
    file: File,
    path: Temporary,
    hash: Sha256,
    bytes: u64,
}

/// A blob that is on disk for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub blob: BlobId,
    pub bytes: u64,
}

impl BlobStore {
    /// Blobs in this folder, which is touched when it is first needed.
    pub fn new(folder: &Path, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self(Arc::new(Inner {
            folder: folder.to_owned(),
            opened: OnceCell::new(),
            blobs: folder.join("blobs"),
            temporary: folder.join("temporary"),
            naming: Mutex::new(()),
            clock,
            ids,
        }))
    }

    /// Makes the folder if necessary, and removes what a crash left half-written. Done once, before
    /// the first file is written.
    pub async fn open(&self) -> io::Result<()> {
        let open = || async {
            let inner = Arc::clone(&self.0);
            let open = tokio::task::spawn_blocking(move || open_folder(&inner));
            open.await.map_err(io::Error::other)?
        };
        self.0.opened.get_or_try_init(open).await.copied()
    }

    pub async fn writer(&self) -> io::Result<BlobWriter> {
        self.open().await?;
        let path = Temporary(Some(self.0.temporary.join(self.0.ids.opaque_id())));
        let file = File::options().write(true).create_new(true).open(path.as_path()).await?;
        Ok(BlobWriter { store: self.clone(), file, path, hash: Sha256::new(), bytes: 0 })
    }

    /// A whole small blob.
    pub async fn write(&self, bytes: Bytes) -> io::Result<Written> {
        let mut writer = self.writer().await?;
        writer.write(&bytes).await?;
        writer.finish().await
    }

    /// The whole blob. Its last bytes come only if all of it is what was once written: damage on
    /// disk ends the stream with an error instead of passing for the file.
    pub async fn read(&self, blob: BlobId) -> io::Result<ByteStream> {
        let file = File::open(self.path(blob)).await?;
        let chunks = ReaderStream::with_capacity(file, CHUNK_BYTES);
        let state = (chunks, Sha256::new(), None);
        let verified = futures_util::stream::try_unfold(
            state,
            move |(mut chunks, mut hash, held)| async move {
                let mut held: Option<Bytes> = held;
                loop {
                    let Some(chunk) = chunks.next().await.transpose()? else { break };
                    hash.update(&chunk);
                    if let Some(ready) = held.replace(chunk) {
                        return Ok(Some((ready, (chunks, hash, held))));
                    }
                }
                let Some(last) = held.take() else { return Ok(None) };
                if hash.clone().finalize()[..] != blob.0 {
                    tracing::error!(blob = %name(blob), "a blob is damaged on disk");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "damaged blob"));
                }
                Ok(Some((last, (chunks, hash, None))))
            },
        );
        Ok(verified.boxed())
    }

    /// A part of the blob, as it is on disk.
    pub async fn read_range(&self, blob: BlobId, range: Range<u64>) -> io::Result<ByteStream> {
        let mut file = File::open(self.path(blob)).await?;
        file.seek(io::SeekFrom::Start(range.start)).await?;
        let part = file.take(range.end.saturating_sub(range.start));
        Ok(ReaderStream::with_capacity(part, CHUNK_BYTES).boxed())
    }

    /// The blob as a file of the operating system; for threads that may wait for the disk.
    pub fn open_blocking(&self, blob: BlobId) -> io::Result<fs::File> {
        fs::File::open(self.path(blob))
    }

    pub async fn exists(&self, blob: BlobId) -> io::Result<bool> {
        tokio::fs::try_exists(self.path(blob)).await
    }

    /// Blobs that were last written before `before_ms`. Reads folders: may wait for the disk. Only
    /// after [`Self::open`].
    pub fn older_than(&self, before_ms: u64) -> io::Result<Vec<BlobId>> {
        let mut old = Vec::new();
        for shard in fs::read_dir(&self.0.blobs)? {
            for file in fs::read_dir(shard?.path())? {
                let file = file?;
                let blob = file.file_name().to_str().and_then(parse_name);
                if let Some(blob) = blob
                    && file.metadata()?.modified()? < time(before_ms)
                {
                    old.push(blob);
                }
            }
        }
        Ok(old)
    }

    /// Removes the blob unless it was written again since `before_ms`. May wait for the disk.
    pub fn remove_if_older(&self, blob: BlobId, before_ms: u64) -> io::Result<bool> {
        let path = self.path(blob);
        let _naming = self.0.naming.lock();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.modified()? < time(before_ms) => {
                fs::remove_file(&path).map(|()| true)
            }
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn path(&self, blob: BlobId) -> PathBuf {
        let name = name(blob);
        self.0.blobs.join(&name[..2]).join(&name)
    }

    /// Gives a synced temporary file its name.
    fn name(&self, mut temporary: Temporary, blob: BlobId) -> io::Result<()> {
        let path = self.path(blob);
        let shard = path.parent().unwrap_or(&self.0.blobs);
        match fs::create_dir(shard) {
            Ok(()) => sync_folder(&self.0.blobs)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let _naming = self.0.naming.lock();
        // Also when the blob exists: the new file is young, so the collector leaves it alone until
        // its row is written.
        fs::rename(temporary.as_path(), &path)?;
        temporary.0 = None;
        sync_folder(shard)
    }
}

impl BlobWriter {
    pub async fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.hash.update(chunk);
        self.bytes += chunk.len() as u64;
        self.file.write_all(chunk).await
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns when the blob would survive a power cut.
    pub async fn finish(mut self) -> io::Result<Written> {
        self.file.flush().await?;
        let file = self.file.into_std().await;
        let Self { store, path, hash, bytes, .. } = self;
        let blob = BlobId(hash.finalize().into());
        let name = move || {
            file.set_modified(time(store.0.clock.now_ms()))?;
            file.sync_all()?;
            store.name(path, blob)
        };
        tokio::task::spawn_blocking(name).await.map_err(io::Error::other)??;
        Ok(Written { blob, bytes })
    }
}

/// A temporary file, removed when this is dropped before it got a name.
struct Temporary(Option<PathBuf>);

impl Temporary {
    fn as_path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What remains is removed at the next start.
            let _ = fs::remove_file(path);
        }
    }
}

fn open_folder(inner: &Inner) -> io::Result<()> {
    fs::create_dir_all(&inner.blobs)?;
    fs::create_dir_all(&inner.temporary)?;
    for leftover in fs::read_dir(&inner.temporary)? {
        fs::remove_file(leftover?.path())?;
    }
    // The folders above may be new, too: the homeserver's, and the one of all media.
    let named = |folder: &&Path| !folder.as_os_str().is_empty();
    inner.folder.ancestors().take(3).filter(named).try_for_each(sync_folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn time(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// The blob's file name: its hash in hexadecimal digits.
pub fn name(blob: BlobId) -> String {
    blob.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_name(name: &str) -> Option<BlobId> {
    let digits = name.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut blob = [0; 32];
    for (byte, digits) in blob.iter_mut().zip(name.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(BlobId(blob))
}

//! Media: files under `mxc://` addresses, ours and other servers'.
//!
//! Bytes are streamed in and out and never held whole. An upload is answered once its blob is
//! synced ([`blobs`]) and its row is committed. A file of another server is fetched once, kept, and
//! from then on served like our own ([`remote`]).
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#content-repository>

mod address;
pub mod blobs;
mod collect;
mod error;
mod remote;
mod thumbnails;
mod upload;

use std::{
    io,
    ops::Range,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use store::media::{self, Content, File};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use crate::Context;
use blobs::BlobStore;

pub use self::{
    address::Address,
    blobs::ByteStream,
    error::{DownloadError, ThumbnailError, UploadError},
    remote::{RemoteError, RemoteFile, RemoteMedia},
    thumbnails::{Method, ThumbnailRequest},
    upload::Offer,
};
pub use store::media::{BlobId, Stored};

#[cfg(test)]
mod tests;

/// What the operator decides about media.
#[derive(Clone, Debug)]
pub struct MediaSettings {
    /// Where the homeserver's blobs are; nobody else writes there.
    pub folder: PathBuf,
    pub upload_bytes_max: u64,
    /// Bytes that one user may have uploaded; `None`: no limit.
    pub user_bytes_max: Option<u64>,
    /// Bytes of another server's file that is fetched for our users.
    pub remote_bytes_max: u64,
    /// Addresses that a user may have created and not yet filled.
    pub awaited_max: usize,
}

impl MediaSettings {
    /// The defaults, with blobs in this folder.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            upload_bytes_max: 100 * 1024 * 1024,
            user_bytes_max: None,
            remote_bytes_max: 100 * 1024 * 1024,
            awaited_max: 20,
        }
    }
}

/// One homeserver's media. Cheap to clone.
#[derive(Clone)]
pub struct Media(Arc<Inner>);

struct Inner {
    context: Context,
    settings: MediaSettings,
    blobs: BlobStore,
    /// How other servers are asked; set once, when the process is wired.
    remote: OnceLock<Arc<dyn RemoteMedia>>,
    fetches: remote::Fetches,
    /// Changes when an awaited address got its content.
    filled: watch::Sender<()>,
    /// Decoding a picture takes a core and some hundred megabytes.
    decoders: Semaphore,
}

/// Pictures that are decoded at the same time.
const DECODERS_MAX: usize = 2;
/// Longest time that a download waits for content, whatever it asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Media {
    pub fn new(context: Context, settings: MediaSettings) -> Self {
        let (clock, ids) = (context.clock.clone(), context.ids.clone());
        Self(Arc::new(Inner {
            blobs: BlobStore::new(&settings.folder, clock, ids),
            context,
            settings,
            remote: OnceLock::new(),
            fetches: remote::Fetches::default(),
            filled: watch::Sender::new(()),
            decoders: Semaphore::new(DECODERS_MAX),
        }))
    }

    /// Says how other servers are asked for their files. Only the first call counts; without one,
    /// they cannot be reached.
    pub fn connect(&self, remote: Arc<dyn RemoteMedia>) {
        let _ = self.0.remote.set(remote);
    }

    pub fn settings(&self) -> &MediaSettings {
        &self.0.settings
    }

    /// What is stored at the address; a file of another server is fetched first. Waits up to `wait`
    /// for content that has not been uploaded.
    pub async fn find(&self, address: &Address, wait: Duration) -> Result<Stored, DownloadError> {
        if self.is_local(address) {
            self.find_local(address, wait).await
        } else {
            self.find_remote(address, wait.min(WAIT_MAX)).await
        }
    }

    /// The same for an address of this homeserver only.
    pub async fn find_local(
        &self,
        address: &Address,
        wait: Duration,
    ) -> Result<Stored, DownloadError> {
        if !self.is_local(address) {
            return Err(DownloadError::NotFound);
        }
        let until = Instant::now() + wait.min(WAIT_MAX);
        // Registered before the row is read, so that content which arrives in between is noticed.
        let mut filled = self.0.filled.subscribe();
        loop {
            match self.file(address).await? {
                None => return Err(DownloadError::NotFound),
                Some(File { quarantined: true, .. }) => return Err(DownloadError::NotFound),
                Some(File { content: Content::Stored(stored), .. }) => return Ok(stored),
                Some(File { content: Content::Awaited { until_ms }, .. }) => {
                    if until_ms <= self.0.context.clock.now_ms() {
                        return Err(DownloadError::NotFound);
                    }
                }
            }
            if tokio::time::timeout_at(until, filled.changed()).await.is_err() {
                return Err(DownloadError::NotYetUploaded);
            }
        }
    }

    /// The bytes of a stored file, whole or a part of them.
    pub async fn read(
        &self,
        stored: &Stored,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, DownloadError> {
        let read = match range {
            None => self.0.blobs.read(stored.blob).await,
            Some(range) => self.0.blobs.read_range(stored.blob, range).await,
        };
        read.map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                tracing::error!(blob = %blobs::name(stored.blob), "a blob that a row names is gone");
            }
            error.into()
        })
    }

    /// Takes a file out of circulation, or puts it back. False if there is no such file.
    pub async fn quarantine(
        &self,
        address: &Address,
        quarantined: bool,
    ) -> Result<bool, DownloadError> {
        let Some(before) = self.file(address).await? else { return Ok(false) };
        let mut batch = self.0.context.batch();
        media::require_file(&mut batch, address.row(), Some(&before));
        media::put_file(&mut batch, address.row(), &File { quarantined, ..before });
        self.commit(batch).await?;
        Ok(true)
    }

    fn is_local(&self, address: &Address) -> bool {
        address.server() == self.0.context.server_name
    }

    async fn file(&self, address: &Address) -> Result<Option<File>, kv::StoreError> {
        let address = address.clone();
        self.0.context.store.read(move |rows| media::file(rows, address.row())).await
    }

    async fn commit(&self, batch: kv::Batch) -> Result<u64, kv::CommitError> {
        self.0.context.log.commit(batch, vec![store::log::Change::Nothing]).await
    }
}

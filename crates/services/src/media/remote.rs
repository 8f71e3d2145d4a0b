//! Files of other servers: fetched once, kept, and served like our own.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use kv::CommitError;
use parking_lot::Mutex;
use store::media::{self, Content, File, Stored};

use super::{
    Address, ByteStream, DownloadError, Media, Offer,
    upload::{ReceiveError, describe},
};

/// Time for a whole file to arrive.
const FETCH_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// Fetches files from other servers. The federation implements it.
pub trait RemoteMedia: Send + Sync {
    /// Asks the address's server for the file; `wait` is how long that server may wait for content
    /// that has not been uploaded to it. Resolves when the bytes begin to come.
    fn fetch<'a>(
        &'a self,
        address: &'a Address,
        wait: Duration,
    ) -> BoxFuture<'a, Result<RemoteFile, RemoteError>>;
}

/// A file that another server is sending.
pub struct RemoteFile {
    pub content_type: Option<String>,
    pub file_name: Option<String>,
    /// Bytes that are announced.
    pub bytes: Option<u64>,
    pub body: ByteStream,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("the other server has no such file")]
    NotFound,
    #[error("the file has not been uploaded to the other server yet")]
    NotYetUploaded,
    #[error("the other server does not serve a file as large as this one")]
    TooLarge,
    #[error("the other server cannot be reached: {0}")]
    Unreachable(Arc<str>),
}

type Fetched = Result<Stored, DownloadError>;
type Fetch = BoxFuture<'static, Fetched>;

/// Fetches that are under way, so that many who want the same file cause one.
#[derive(Default)]
pub(super) struct Fetches(Mutex<HashMap<Address, WeakShared<Fetch>>>);

impl Media {
    pub(super) async fn find_remote(&self, address: &Address, wait: Duration) -> Fetched {
        match self.file(address).await? {
            Some(File { quarantined: true, .. }) => return Err(DownloadError::NotFound),
            Some(File { content: Content::Stored(stored), .. })
                if self.0.blobs.exists(stored.blob).await? =>
            {
                return Ok(stored);
            }
            // Not known, or its blob is lost (a backup holds no copies of others' files).
            _ => {}
        }
        self.join_fetch(address, wait).await
    }

    /// Waits for the fetch of this file that is under way, or starts one. It goes on as long as
    /// anybody waits for it.
    fn join_fetch(&self, address: &Address, wait: Duration) -> Shared<Fetch> {
        let mut fetches = self.0.fetches.0.lock();
        if let Some(fetch) = fetches.get(address).and_then(WeakShared::upgrade) {
            return fetch;
        }
        // Those that everybody gave up on are still in the table, but hold nothing any more.
        fetches.retain(|_, fetch| fetch.upgrade().is_some());
        let (media, wanted) = (self.clone(), address.clone());
        let fetch = async move {
            let fetched = media.fetch(&wanted, wait).await;
            media.0.fetches.0.lock().remove(&wanted);
            fetched
        };
        let fetch = fetch.boxed().shared();
        if let Some(weak) = fetch.downgrade() {
            fetches.insert(address.clone(), weak);
        }
        fetch
    }

    async fn fetch(&self, address: &Address, wait: Duration) -> Fetched {
        let remote = self.0.remote.get().ok_or_else(|| unreachable("the federation is off"))?;
        let file = remote.fetch(address, wait).await?;
        let bytes_max = self.0.settings.remote_bytes_max;
        if file.bytes.is_some_and(|bytes| bytes > bytes_max) {
            return Err(DownloadError::TooLarge);
        }
        let received = tokio::time::timeout(FETCH_TIME_MAX, self.receive(file.body, bytes_max));
        let received = received.await.map_err(|_| unreachable("it sends too slowly"))?;
        let written = received.map_err(|error| match error {
            ReceiveError::TooLarge => DownloadError::TooLarge,
            ReceiveError::Body(error) => unreachable(&error.to_string()),
            ReceiveError::Disk(error) => DownloadError::Disk(Arc::new(error)),
        })?;
        let offer =
            Offer { content_type: file.content_type, file_name: file.file_name, bytes: None };
        self.keep(address, describe(offer, written)).await
    }

    async fn keep(&self, address: &Address, stored: Stored) -> Fetched {
        let before = self.file(address).await?;
        if before.as_ref().is_some_and(|file| file.quarantined) {
            return Err(DownloadError::NotFound);
        }
        let file = File {
            uploader: None,
            created_ms: self.0.context.clock.now_ms(),
            content: Content::Stored(stored.clone()),
            quarantined: false,
        };
        let mut batch = self.0.context.batch();
        media::require_file(&mut batch, address.row(), before.as_ref());
        if let Some(before) = &before {
            media::remove_file(&mut batch, address.row(), before);
        }
        media::put_file(&mut batch, address.row(), &file);
        match self.commit(batch).await {
            Ok(_) => Ok(stored),
            // An administrator changed the row meanwhile.
            Err(CommitError::Precondition(_)) => Err(DownloadError::NotFound),
            Err(error) => Err(error.into()),
        }
    }
}

fn unreachable(why: &str) -> DownloadError {
    DownloadError::Unreachable(why.into())
}

impl From<RemoteError> for DownloadError {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::NotFound => Self::NotFound,
            RemoteError::NotYetUploaded => Self::NotYetUploaded,
            RemoteError::TooLarge => Self::TooLarge,
            RemoteError::Unreachable(why) => Self::Unreachable(why),
        }
    }
}

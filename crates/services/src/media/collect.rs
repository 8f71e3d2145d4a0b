//! What nobody needs any more: blobs without a row, addresses that were never filled, files that
//! were deleted.

use std::time::Duration;

use kv::CommitError;
use store::media::{self, Content};

use super::{Address, DownloadError, Media};

/// Age at which a blob that no row names is garbage. An upload writes its row right after its blob,
/// so anything above a minute would do; a day leaves time to look at what went wrong.
pub const ORPHAN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub blobs: usize,
    pub addresses: usize,
}

impl Media {
    /// Removes what nobody needs. To be called now and then; it may be stopped at any point.
    pub async fn collect(&self) -> Result<Collected, DownloadError> {
        let addresses = self.collect_awaited().await?;
        let blobs = self.collect_blobs().await?;
        Ok(Collected { blobs, addresses })
    }

    /// Deletes a file; its blob follows with a later collection, its thumbnails at once unless
    /// another address holds the same picture. False if there was no such file.
    pub async fn delete(&self, address: &Address) -> Result<bool, DownloadError> {
        let Some(file) = self.file(address).await? else { return Ok(false) };
        let mut batch = self.0.context.batch();
        media::require_file(&mut batch, address.row(), Some(&file));
        media::remove_file(&mut batch, address.row(), &file);
        let uploader = file.uploader.as_deref();
        match &file.content {
            Content::Stored(stored) => {
                if let Some(uploader) = uploader {
                    let bytes = i64::try_from(stored.bytes).unwrap_or(i64::MAX);
                    media::add_uploaded_bytes(&mut batch, uploader, -bytes);
                }
                let blob = stored.blob;
                let read = move |rows: &kv::Snapshot| media::thumbnails(rows, blob);
                // Another file with the same bytes makes them again when they are asked for.
                for (size, thumbnail) in self.0.context.store.read(read).await? {
                    media::remove_thumbnail(&mut batch, blob, size, thumbnail.blob);
                }
            }
            Content::Awaited { .. } => {
                if let Some(uploader) = uploader {
                    media::remove_awaited(&mut batch, uploader, address.media_id());
                }
            }
        }
        self.commit(batch).await?;
        Ok(true)
    }

    async fn collect_awaited(&self) -> Result<usize, DownloadError> {
        let now_ms = self.0.context.clock.now_ms();
        let awaited = self.0.context.store.read(media::all_awaited).await?;
        let mut collected = 0;
        for (_, media_id, _) in awaited.into_iter().filter(|(_, _, until_ms)| *until_ms <= now_ms) {
            let server = self.0.context.server_name.as_str();
            let Some(address) = Address::new(server, &media_id) else { continue };
            match self.delete(&address).await {
                Ok(_) => collected += 1,
                // It was filled in the last moment.
                Err(DownloadError::Commit(CommitError::Precondition(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(collected)
    }

    async fn collect_blobs(&self) -> Result<usize, DownloadError> {
        self.0.blobs.open().await?;
        let age_ms = u64::try_from(ORPHAN_AGE.as_millis()).unwrap_or(u64::MAX);
        let before_ms = self.0.context.clock.now_ms().saturating_sub(age_ms);
        let (blobs, store) = (self.0.blobs.clone(), self.0.context.store.clone());
        let collect = move || {
            let mut collected = 0;
            for blob in blobs.older_than(before_ms)? {
                // Asked of the newest state, after the blob was seen to be old.
                if !media::is_in_use(&store.snapshot(), blob)?
                    && blobs.remove_if_older(blob, before_ms)?
                {
                    collected += 1;
                }
            }
            Ok(collected)
        };
        let collected = tokio::task::spawn_blocking(collect).await;
        collected.map_err(|error| DownloadError::from(std::io::Error::other(error)))?
    }
}

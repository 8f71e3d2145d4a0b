//! Uploads: with an address made on the spot, or to one that was created before.

use std::{io, sync::Arc, time::Duration};

use futures_util::StreamExt;
use kv::CommitError;
use store::media::{self, Content, File, Stored};

use super::{
    Address, ByteStream, Media, UploadError,
    blobs::{BlobWriter, Written},
};

/// "The recommended default expiration is 24 hours".
const AWAITED_TIME_MS: u64 = 24 * 60 * 60 * 1000;
/// Longest pause between two parts of a body.
const PAUSE_MAX: Duration = Duration::from_secs(60);
const CONTENT_TYPE_BYTES_MAX: usize = 255;
const FILE_NAME_BYTES_MAX: usize = 1_024;
/// What a file is whose uploader did not say, or said what no header can hold.
const UNKNOWN_CONTENT_TYPE: &str = "application/octet-stream";

/// What an uploader says of a file.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    pub content_type: Option<String>,
    pub file_name: Option<String>,
    /// Bytes that are announced; the body may still be of another length.
    pub bytes: Option<u64>,
}

/// Why bytes did not become a blob.
pub(super) enum ReceiveError {
    TooLarge,
    Body(io::Error),
    Disk(io::Error),
}

impl Media {
    /// Stores a file and gives it an address.
    pub async fn upload(
        &self,
        uploader: &str,
        offer: Offer,
        body: ByteStream,
    ) -> Result<Address, UploadError> {
        let written = self.receive_within_quota(uploader, &offer, body).await?;
        let address = self.new_address();
        let file = self.stored_file(uploader, offer, written);
        let mut batch = self.0.context.batch();
        media::require_file(&mut batch, address.row(), None);
        media::put_file(&mut batch, address.row(), &file);
        media::add_uploaded_bytes(&mut batch, uploader, signed(written.bytes));
        self.commit(batch).await?;
        Ok(address)
    }

    /// Makes an address whose content its creator uploads later, and says until when.
    pub async fn create(&self, uploader: &str) -> Result<(Address, u64), UploadError> {
        let now_ms = self.0.context.clock.now_ms();
        let user = uploader.to_owned();
        let awaited = self.0.context.store.read(move |rows| media::awaited(rows, &user)).await?;
        let mut waiting: Vec<u64> = awaited.iter().map(|(_, until_ms)| *until_ms).collect();
        waiting.retain(|until_ms| *until_ms > now_ms);
        if waiting.len() >= self.0.settings.awaited_max {
            let earliest_ms = waiting.into_iter().min().unwrap_or(now_ms);
            return Err(UploadError::TooManyAwaited { retry_after_ms: earliest_ms - now_ms });
        }
        let address = self.new_address();
        let until_ms = now_ms + AWAITED_TIME_MS;
        let file = File {
            uploader: Some(uploader.to_owned()),
            created_ms: now_ms,
            content: Content::Awaited { until_ms },
            quarantined: false,
        };
        let mut batch = self.0.context.batch();
        media::require_file(&mut batch, address.row(), None);
        media::put_file(&mut batch, address.row(), &file);
        media::put_awaited(&mut batch, uploader, address.media_id(), until_ms);
        self.commit(batch).await?;
        Ok((address, until_ms))
    }

    /// Stores the content of an address that the same user created.
    pub async fn fill(
        &self,
        uploader: &str,
        address: &Address,
        offer: Offer,
        body: ByteStream,
    ) -> Result<(), UploadError> {
        // Asked before the body is read: who may not upload is told so at once.
        let awaited = self.awaited_file(uploader, address).await?;
        let written = self.receive_within_quota(uploader, &offer, body).await?;
        let file = self.stored_file(uploader, offer, written);
        let mut batch = self.0.context.batch();
        media::require_file(&mut batch, address.row(), Some(&awaited));
        media::put_file(&mut batch, address.row(), &file);
        media::remove_awaited(&mut batch, uploader, address.media_id());
        media::add_uploaded_bytes(&mut batch, uploader, signed(written.bytes));
        match self.commit(batch).await {
            Ok(_) => {}
            // A second upload to the same address was faster.
            Err(CommitError::Precondition(_)) => return Err(UploadError::AlreadyUploaded),
            Err(error) => return Err(error.into()),
        }
        self.0.filled.send_replace(());
        Ok(())
    }

    async fn awaited_file(&self, uploader: &str, address: &Address) -> Result<File, UploadError> {
        if !self.is_local(address) {
            return Err(UploadError::NotAwaited);
        }
        let file = self.file(address).await?.ok_or(UploadError::NotAwaited)?;
        if file.uploader.as_deref() != Some(uploader) {
            return Err(UploadError::NotYours);
        }
        match file.content {
            Content::Stored(_) => Err(UploadError::AlreadyUploaded),
            Content::Awaited { until_ms } if until_ms <= self.0.context.clock.now_ms() => {
                Err(UploadError::NotAwaited)
            }
            Content::Awaited { .. } => Ok(file),
        }
    }

    async fn receive_within_quota(
        &self,
        uploader: &str,
        offer: &Offer,
        body: ByteStream,
    ) -> Result<Written, UploadError> {
        let upload_max = self.0.settings.upload_bytes_max;
        let left = self.quota_left(uploader).await?;
        let over_limit = || {
            if left < upload_max { UploadError::QuotaReached } else { too_large(upload_max) }
        };
        let bytes_max = left.min(upload_max);
        if offer.bytes.is_some_and(|bytes| bytes > upload_max) {
            return Err(too_large(upload_max));
        }
        if offer.bytes.is_some_and(|bytes| bytes > bytes_max) {
            return Err(over_limit());
        }
        self.receive(body, bytes_max).await.map_err(|error| match error {
            ReceiveError::TooLarge => over_limit(),
            ReceiveError::Body(error) => UploadError::Body(Arc::new(error)),
            ReceiveError::Disk(error) => UploadError::Disk(Arc::new(error)),
        })
    }

    async fn quota_left(&self, uploader: &str) -> Result<u64, UploadError> {
        let Some(bytes_max) = self.0.settings.user_bytes_max else { return Ok(u64::MAX) };
        let user = uploader.to_owned();
        let read = self.0.context.store.read(move |rows| media::uploaded_bytes(rows, &user));
        Ok(bytes_max.saturating_sub(read.await?))
    }

    /// Writes bytes as they come, at most `bytes_max`, until they are safe on disk.
    pub(super) async fn receive(
        &self,
        mut body: ByteStream,
        bytes_max: u64,
    ) -> Result<Written, ReceiveError> {
        let mut writer: BlobWriter = self.0.blobs.writer().await.map_err(ReceiveError::Disk)?;
        loop {
            let chunk = tokio::time::timeout(PAUSE_MAX, body.next()).await;
            let chunk = chunk.map_err(|_| ReceiveError::Body(io::ErrorKind::TimedOut.into()))?;
            let Some(chunk) = chunk.transpose().map_err(ReceiveError::Body)? else { break };
            if writer.bytes() + chunk.len() as u64 > bytes_max {
                return Err(ReceiveError::TooLarge);
            }
            writer.write(&chunk).await.map_err(ReceiveError::Disk)?;
        }
        writer.finish().await.map_err(ReceiveError::Disk)
    }

    fn new_address(&self) -> Address {
        let context = &self.0.context;
        Address::new(context.server_name.as_str(), &context.ids.media_id())
            .expect("our name and ids of letters are what an address allows")
    }

    fn stored_file(&self, uploader: &str, offer: Offer, written: Written) -> File {
        File {
            uploader: Some(uploader.to_owned()),
            created_ms: self.0.context.clock.now_ms(),
            content: Content::Stored(describe(offer, written)),
            quarantined: false,
        }
    }
}

/// What is kept of what was said of a file.
pub(super) fn describe(offer: Offer, written: Written) -> Stored {
    let sayable = |content_type: &String| {
        let printable = content_type.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        printable && !content_type.is_empty() && content_type.len() <= CONTENT_TYPE_BYTES_MAX
    };
    let content_type = offer.content_type.filter(sayable);
    let fits = |name: &String| !name.is_empty() && name.len() <= FILE_NAME_BYTES_MAX;
    Stored {
        blob: written.blob,
        bytes: written.bytes,
        content_type: content_type.unwrap_or_else(|| UNKNOWN_CONTENT_TYPE.to_owned()),
        file_name: offer.file_name.filter(fits),
    }
}

fn too_large(bytes_max: u64) -> UploadError {
    UploadError::TooLarge { bytes_max }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

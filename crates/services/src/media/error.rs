//! How uploads and downloads fail.

use std::{io, sync::Arc};

use kv::{CommitError, StoreError};

#[derive(Clone, Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the file is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
    #[error("the user's or the server's quota of uploads is used up")]
    QuotaReached,
    /// The user has created too many addresses without filling them.
    #[error("too many addresses wait for their content")]
    TooManyAwaited { retry_after_ms: u64 },
    /// The address was not created here, or has expired.
    #[error("no content is awaited at this address")]
    NotAwaited,
    #[error("the address was created by somebody else")]
    NotYours,
    #[error("the address has its content already")]
    AlreadyUploaded,
    /// The sender of the bytes stopped or failed.
    #[error("the file did not arrive: {0}")]
    Body(Arc<io::Error>),
    #[error("the file could not be written: {0}")]
    Disk(Arc<io::Error>),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("there is no such file")]
    NotFound,
    /// The address was given out, but its content did not arrive in the time that was given.
    #[error("the file has not been uploaded yet")]
    NotYetUploaded,
    /// The file of another server is larger than we fetch.
    #[error("the file is too large")]
    TooLarge,
    #[error("the server that has the file cannot be reached: {0}")]
    Unreachable(Arc<str>),
    #[error("the file could not be read or written: {0}")]
    Disk(Arc<io::Error>),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// It is no picture, or a picture in a format that is not decoded here.
    #[error("the file cannot be shown smaller")]
    Unsupported,
    #[error("the picture is too large to be made smaller")]
    TooLarge,
    #[error(transparent)]
    Download(#[from] DownloadError),
}

impl From<io::Error> for DownloadError {
    /// A blob that is missing is a file that is missing, whatever its row says.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            _ => Self::Disk(Arc::new(error)),
        }
    }
}

impl From<StoreError> for ThumbnailError {
    fn from(error: StoreError) -> Self {
        Self::Download(error.into())
    }
}

impl From<io::Error> for ThumbnailError {
    fn from(error: io::Error) -> Self {
        Self::Download(error.into())
    }
}

//! How failed uploads and downloads look to a client.

use std::{io, time::Duration};

use http::StatusCode;
use services::media::{DownloadError, ThumbnailError, UploadError};
use web::ErrorKind;

use crate::client::error::Error;

impl From<UploadError> for Error {
    fn from(error: UploadError) -> Self {
        use web::Error as Wire;
        let error = match error {
            UploadError::TooLarge { bytes_max } => {
                Wire::too_large(format!("A file may have {bytes_max} bytes"))
            }
            UploadError::QuotaReached => Wire::forbidden("Your space for files is used up"),
            UploadError::TooManyAwaited { retry_after_ms } => {
                Wire::limit_exceeded(Duration::from_millis(retry_after_ms))
            }
            UploadError::NotAwaited => Wire::not_found("Unknown media ID"),
            UploadError::NotYours => Wire::forbidden("Somebody else created this media ID"),
            UploadError::AlreadyUploaded => Wire::new(
                StatusCode::CONFLICT,
                ErrorKind::CannotOverwriteMedia,
                "Media already uploaded",
            ),
            UploadError::Body(error) => {
                Wire::bad_request(ErrorKind::Unknown, "The file did not arrive whole")
                    .caused_by(error)
            }
            UploadError::Disk(error) if error.kind() == io::ErrorKind::StorageFull => Wire::new(
                StatusCode::INSUFFICIENT_STORAGE,
                ErrorKind::Unknown,
                "The server has no space for the file",
            )
            .caused_by(error),
            UploadError::Disk(error) => Wire::internal(error),
            UploadError::Store(error) => return error.into(),
            UploadError::Commit(error) => return error.into(),
        };
        Self(error)
    }
}

impl From<DownloadError> for Error {
    fn from(error: DownloadError) -> Self {
        use web::Error as Wire;
        let error = match error {
            DownloadError::NotFound => Wire::not_found("There is no such file"),
            DownloadError::NotYetUploaded => Wire::new(
                StatusCode::GATEWAY_TIMEOUT,
                ErrorKind::NotYetUploaded,
                "Content has not yet been uploaded",
            ),
            DownloadError::TooLarge => {
                let kind = ErrorKind::TooLarge;
                Wire::new(StatusCode::BAD_GATEWAY, kind, "Content is too large to serve")
            }
            DownloadError::Unreachable(why) => Wire::new(
                StatusCode::BAD_GATEWAY,
                ErrorKind::Unknown,
                "The server that has the file cannot be reached",
            )
            .caused_by(&*why),
            DownloadError::Disk(error) => Wire::internal(error),
            DownloadError::Store(error) => return error.into(),
            DownloadError::Commit(error) => return error.into(),
        };
        Self(error)
    }
}

/// Whose file it is decides who is to blame for its size.
pub(super) fn no_thumbnail(error: ThumbnailError, local: bool) -> Error {
    let error = match error {
        ThumbnailError::Unsupported => web::Error::bad_request(
            ErrorKind::Unknown,
            "Cannot generate thumbnails for the requested content",
        ),
        ThumbnailError::TooLarge => {
            let status =
                if local { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_GATEWAY };
            web::Error::new(status, ErrorKind::TooLarge, "Content is too large to thumbnail")
        }
        ThumbnailError::Download(error) => return error.into(),
    };
    Error(error)
}

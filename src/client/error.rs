//! What the Client-Server API answers when it cannot do what was asked.
//!
//! The `From` of a use case's error stands beside the handlers that can meet it.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use kv::{CommitError, StoreError};
use web::ErrorKind;

/// An error of this surface. Everything that the client sees of it is in [`web::Error`].
#[derive(Debug)]
pub(crate) struct Error(pub web::Error);

impl From<web::Error> for Error {
    fn from(error: web::Error) -> Self {
        Self(error)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self(web::Error::internal(error))
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            // Nothing was written, and it may be tried again once there is room on the disk.
            CommitError::Unavailable { .. } => Self(
                web::Error::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    ErrorKind::Unknown,
                    "The server takes no changes at the moment",
                )
                .caused_by(error),
            ),
            CommitError::TooLarge(_) => Self(web::Error::too_large("That is too much at once")),
            CommitError::Precondition(_) | CommitError::Fenced { .. } | CommitError::Unknown => {
                Self(web::Error::internal(error))
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

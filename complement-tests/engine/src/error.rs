//! What can go wrong, with the status by which the Docker API tells it.

use std::io;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Misunderstood(String),
    #[error("no such {0}: {1}")]
    NotFound(&'static str, String),
    #[error("{0}")]
    Conflict(String),
    #[error("the certificate cannot be signed: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the certificate authority cannot be read: {0}")]
    Authority(#[from] rustls::pki_types::pem::Error),
    #[error("the configuration cannot be written: {0}")]
    Configuration(#[from] toml::ser::Error),
    #[error(transparent)]
    System(#[from] io::Error),
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Misunderstood(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(..) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Certificate(_)
            | Self::Authority(_)
            | Self::Configuration(_)
            | Self::System(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(json!({ "message": self.to_string() }))).into_response()
    }
}

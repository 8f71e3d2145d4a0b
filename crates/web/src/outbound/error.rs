//! How a call can fail.

use std::{error::Error, io};

use super::{Denied, NameError};

/// Why there is no answer. An answer with an error status is an answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("the URL cannot be called: {0}")]
    BadUrl(&'static str),
    #[error("the request cannot be encoded")]
    Encode(#[source] serde_json::Error),
    #[error("the address is not allowed by the policy for outbound calls")]
    DeniedAddress,
    #[error("the name cannot be resolved")]
    Name(#[source] NameError),
    #[error("no connection could be made")]
    Connect(#[source] reqwest::Error),
    #[error("no secure connection could be made")]
    Tls(#[source] rustls::Error),
    #[error("the call took too long")]
    Timeout,
    #[error("the answer is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the redirect is not followed: {0}")]
    Redirect(&'static str),
    #[error("the connection broke, or the other side does not speak HTTP")]
    Protocol(#[source] reqwest::Error),
    /// Only by [`Answer::success`](super::Answer::success).
    #[error("the other side answered {0}")]
    Status(http::StatusCode),
    /// Only by [`Answer::json`](super::Answer::json).
    #[error("the answer's body is not what was expected")]
    Decode(#[source] serde_json::Error),
}

impl OutboundError {
    pub(super) fn from_reqwest(error: reqwest::Error) -> Self {
        if find::<Denied>(&error).is_some() {
            return Self::DeniedAddress;
        }
        if let Some(error) = find::<NameError>(&error) {
            return Self::Name(error.clone());
        }
        if let Some(error) = find::<rustls::Error>(&error) {
            return Self::Tls(error.clone());
        }
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_connect() {
            Self::Connect(error)
        } else {
            Self::Protocol(error)
        }
    }

    /// Whether the other side is to be considered unreachable, so that a later try makes sense.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Name(_)
            | Self::Connect(_)
            | Self::Tls(_)
            | Self::Timeout
            | Self::Protocol(_)
            | Self::DeniedAddress => true,
            Self::Status(status) => status.is_server_error(),
            Self::BadUrl(_)
            | Self::Encode(_)
            | Self::TooLarge { .. }
            | Self::Redirect(_)
            | Self::Decode(_) => false,
        }
    }
}

/// The first error of this type in the chain of sources.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An io::Error hides what it wraps: its source is the source of that.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

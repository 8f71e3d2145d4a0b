//! An answer, read up to a limit.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::Response;
use serde::de::DeserializeOwned;
use url::Url;

use super::OutboundError;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Who answered, after redirects.
    pub url: Url,
}

impl Answer {
    pub(super) async fn read(mut response: Response, limit: u64) -> Result<Self, OutboundError> {
        check_announced(&response, limit)?;
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(OutboundError::from_reqwest)? {
            if (body.len() + piece.len()) as u64 > limit {
                return Err(OutboundError::TooLarge { limit });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Self {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: body.freeze(),
            url: response.url().clone(),
        })
    }

    /// This answer, or the error [`OutboundError::Status`] if its status is no success.
    pub fn success(self) -> Result<Self, OutboundError> {
        if self.status.is_success() { Ok(self) } else { Err(OutboundError::Status(self.status)) }
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T, OutboundError> {
        serde_json::from_slice(&self.body).map_err(OutboundError::Decode)
    }

    /// For ruma's decoders.
    pub fn as_http(&self) -> http::Response<&[u8]> {
        let mut response = http::Response::new(&self.body[..]);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

/// An answer whose body comes in pieces.
#[derive(Debug)]
pub struct Streamed {
    pub status: StatusCode,
    pub headers: HeaderMap,
    response: Response,
    limit: u64,
    left: u64,
    piece_time_max: Duration,
}

impl Streamed {
    pub(super) fn new(
        mut response: Response,
        limit: u64,
        piece_time_max: Duration,
    ) -> Result<Self, OutboundError> {
        check_announced(&response, limit)?;
        Ok(Self {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            response,
            limit,
            left: limit,
            piece_time_max,
        })
    }

    /// The next piece of the body; `None` after the last.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, OutboundError> {
        let piece = tokio::time::timeout(self.piece_time_max, self.response.chunk())
            .await
            .map_err(|_| OutboundError::Timeout)?
            .map_err(OutboundError::from_reqwest)?;
        if let Some(piece) = &piece {
            self.left = self
                .left
                .checked_sub(piece.len() as u64)
                .ok_or(OutboundError::TooLarge { limit: self.limit })?;
        }
        Ok(piece)
    }
}

/// Refuses at once what says itself that it is too large.
fn check_announced(response: &Response, limit: u64) -> Result<(), OutboundError> {
    match response.content_length() {
        Some(length) if length > limit => Err(OutboundError::TooLarge { limit }),
        _ => Ok(()),
    }
}

//! Files between servers: how we fetch one, and how we send one. Streamed both ways.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#content-repository>

mod multipart;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc, time::Duration};

use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture};
use http::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};
use ruma::{api::federation::authenticated_media::get_content, http_headers::ContentDisposition};
use serde::Deserialize;
use services::media::{Address, ByteStream, RemoteError, RemoteFile, RemoteMedia};

use crate::{
    client::{FederationClient, RequestError},
    transport::{Cost, Pieces},
};
pub(crate) use multipart::{Outgoing, send};

/// Time for the other server to begin, besides that in which it may wait for an upload.
const BEGIN_TIME_MAX: Duration = Duration::from_secs(20);
/// Bytes of an answer besides the file's: boundaries, headers, metadata.
const FRAME_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of an error that are read.
const ERROR_BYTES_MAX: usize = 16 * 1024;

/// Fetches files from other servers, as `services::media` asks for them.
pub(crate) struct RemoteFiles {
    client: FederationClient,
    bytes_max: u64,
}

impl RemoteFiles {
    /// `bytes_max` are the bytes that a file may have.
    pub(crate) fn new(client: FederationClient, bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { client, bytes_max })
    }

    async fn fetch_file(
        &self,
        address: &Address,
        wait: Duration,
    ) -> Result<RemoteFile, RemoteError> {
        let request =
            get_content::v1::Request { media_id: address.media_id().to_owned(), timeout_ms: wait };
        let cost = Cost {
            time_max: wait + BEGIN_TIME_MAX,
            bytes_max: self.bytes_max.saturating_add(FRAME_BYTES_MAX),
        };
        let answer = self.client.stream(address.server(), request, cost).await;
        let answer = answer.map_err(|error| failed(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(refused(answer).await);
        }
        let boundary = answer.headers().get(CONTENT_TYPE).and_then(multipart::boundary);
        let boundary = boundary.ok_or_else(|| useless("it is not multipart/mixed"))?;
        let part = multipart::file(answer.into_body(), &boundary).await;
        let (headers, body) = part.map_err(|error| useless(&error.to_string()))?;
        match headers.get(LOCATION) {
            None => Ok(describe(&headers, body)),
            Some(location) => {
                let url = location.to_str().map_err(|_| useless("its location is no URL"))?;
                let answer = self.client.stream_from(url, cost).await;
                let answer = answer.map_err(|error| failed(&error))?;
                if answer.status() != StatusCode::OK {
                    return Err(useless("there is nothing where it redirected us to"));
                }
                let (head, body) = answer.into_parts();
                Ok(describe(&head.headers, body.map_err(io::Error::other).boxed()))
            }
        }
    }
}

impl RemoteMedia for RemoteFiles {
    fn fetch<'a>(
        &'a self,
        address: &'a Address,
        wait: Duration,
    ) -> BoxFuture<'a, Result<RemoteFile, RemoteError>> {
        Box::pin(self.fetch_file(address, wait))
    }
}

fn describe(headers: &HeaderMap, body: ByteStream) -> RemoteFile {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let disposition = headers.get(CONTENT_DISPOSITION).map(|value| value.as_bytes());
    let disposition = disposition.and_then(|bytes| ContentDisposition::try_from(bytes).ok());
    RemoteFile {
        content_type: text(CONTENT_TYPE),
        file_name: disposition.and_then(|disposition| disposition.filename),
        bytes: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        body,
    }
}

/// What the other server's refusal means to the one who wants the file.
async fn refused(answer: Response<Pieces>) -> RemoteError {
    #[derive(Default, Deserialize)]
    struct Refusal {
        #[serde(default)]
        errcode: String,
    }
    let status = answer.status();
    let mut body = BytesMut::new();
    let mut pieces = answer.into_body();
    while let Some(Ok(piece)) = pieces.next().await {
        if body.len() + piece.len() > ERROR_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&piece);
    }
    let Refusal { errcode } = serde_json::from_slice(&body).unwrap_or_default();
    match (errcode.as_str(), status) {
        ("M_NOT_YET_UPLOADED", _) => RemoteError::NotYetUploaded,
        ("M_TOO_LARGE", _) => RemoteError::TooLarge,
        (_, StatusCode::NOT_FOUND) => RemoteError::NotFound,
        (_, status) => useless(&format!("it answered {status}")),
    }
}

fn failed(error: &RequestError) -> RemoteError {
    match error {
        RequestError::TimedOut => useless("it did not answer in time"),
        error => useless(&web::error::chain(error)),
    }
}

fn useless(why: &str) -> RemoteError {
    RemoteError::Unreachable(why.into())
}

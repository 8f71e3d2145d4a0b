//! Reading a request's body whole: bounded in bytes and in time.

use std::time::Duration;

use axum::{RequestExt, body::Body, extract::Request};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError};
use ruma::api::error::ErrorKind;

use crate::Error;

/// Time in which a body must have arrived whole. Uploads of media are streamed and do not come here.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);

/// The request with its body held to the limit that the router set with `DefaultBodyLimit`.
pub fn limited(request: Request) -> Request {
    request.with_limited_body()
}

/// A body that was [`limited`].
pub async fn read(body: Body) -> Result<Bytes, Error> {
    match tokio::time::timeout(BODY_TIME_MAX, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if is_over_limit(&error) => {
            Err(Error::too_large("The request's body is too large"))
        }
        Ok(Err(error)) => {
            Err(Error::bad_request(ErrorKind::Unknown, "The request's body could not be read")
                .caused_by(error))
        }
        Err(_) => Err(Error::new(
            http::StatusCode::REQUEST_TIMEOUT,
            ErrorKind::Unknown,
            "The request's body did not arrive in time",
        )),
    }
}

fn is_over_limit(error: &axum::Error) -> bool {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if error.is::<LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}

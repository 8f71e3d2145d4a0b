//! JSON that ruma has no type for, or whose exact shape matters.

use std::cell::RefCell;

use axum::{
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, header::CONTENT_TYPE};
use ruma::api::error::ErrorKind;
use serde::{Serialize, de::DeserializeOwned, de::IgnoredAny};

use crate::{Error, body};

/// Answers 200 with the value as JSON. A `Box<RawValue>` is sent byte for byte.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

/// Reads the body as JSON, with the same errors as [`Matrix`](crate::Matrix); an empty body is an
/// empty object.
#[derive(Clone, Copy, Debug)]
pub struct JsonBody<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match to_bytes(&self.0) {
            Ok(bytes) => {
                let json = HeaderValue::from_static("application/json");
                ([(CONTENT_TYPE, json)], bytes).into_response()
            }
            Err(error) => Error::internal(error).into_response(),
        }
    }
}

thread_local! {
    /// Where answers are written: to let each grow in memory of its own means to copy it on the way.
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Of a longer answer, the memory is not kept for the next one.
const KEPT_BYTES_MAX: usize = 256 * 1024;

fn to_bytes(value: &impl Serialize) -> serde_json::Result<Bytes> {
    WRITTEN.with_borrow_mut(|written| {
        written.clear();
        serde_json::to_writer(&mut *written, value)?;
        let bytes = Bytes::copy_from_slice(written);
        if written.capacity() > KEPT_BYTES_MAX {
            *written = Vec::new();
        }
        Ok(bytes)
    })
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        Ok(Self(decode(&body::read(body::limited(request).into_body()).await?)?))
    }
}

/// Decodes a body that must be JSON.
pub fn decode<T: DeserializeOwned>(body: &Bytes) -> Result<T, Error> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    check_is_json(body)?;
    serde_json::from_slice(body).map_err(|error| wrong_shape(&error))
}

/// `M_NOT_JSON` unless the bytes are JSON in UTF-8.
pub(crate) fn check_is_json(body: &[u8]) -> Result<(), Error> {
    let not_json = |why: &dyn std::fmt::Display| {
        Error::bad_request(ErrorKind::NotJson, format!("The body is not JSON: {why}"))
    };
    // Ignored strings are not checked for UTF-8 by the parser.
    let text = std::str::from_utf8(body).map_err(|error| not_json(&error))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| not_json(&error))?;
    Ok(())
}

/// Which error the body deserves that is JSON, but not the JSON that was asked for.
pub(crate) fn wrong_shape(error: &serde_json::Error) -> Error {
    let message = error.to_string();
    if message.starts_with("missing field") {
        Error::missing_param(message)
    } else {
        Error::bad_json(message)
    }
}

#[cfg(test)]
mod tests;

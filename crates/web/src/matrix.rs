//! `Matrix<T>`: any ruma request as an axum extractor, any ruma response as an axum response.

use axum::{
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use http::{Method, request::Parts};
use ruma::api::{
    IncomingRequest, IncomingRequestExt, OutgoingResponse, OutgoingResponseExt,
    error::{DeserializationError, FromHttpRequestError},
};

use crate::{Error, body, json};

/// A request of an endpoint, decoded; or its response, to be encoded.
///
/// It must be the handler's last argument: it takes the body.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<T>(pub T);

/// A decoded request together with its body as it came, for what ruma's type does not keep.
#[derive(Clone, Debug)]
pub struct MatrixWithBody<T>(pub T, pub Bytes);

impl<S: Send + Sync, T: IncomingRequest> FromRequest<S> for Matrix<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        decode(RawRequest::read(request).await?).map(Self)
    }
}

impl<S: Send + Sync, T: IncomingRequest> FromRequest<S> for MatrixWithBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let raw = RawRequest::read(request).await?;
        let body = raw.body.clone();
        Ok(Self(decode(raw)?, body))
    }
}

impl<T: OutgoingResponse> IntoResponse for Matrix<T> {
    fn into_response(self) -> Response {
        match self.0.try_into_http_response::<BytesMut>() {
            Ok(response) => response.map(BytesMut::freeze).map(axum::body::Body::from),
            Err(error) => Error::internal(error).into_response(),
        }
    }
}

/// What of a request does not depend on the endpoint. Kept apart from the generic part, which is
/// compiled once per endpoint.
struct RawRequest {
    head: Parts,
    path_args: Vec<String>,
    body: Bytes,
}

impl RawRequest {
    async fn read(request: Request) -> Result<Self, Error> {
        // The limit is an extension of the head: the body must get it before they are parted.
        let (mut head, body) = body::limited(request).into_parts();
        let path_args = path_args(&mut head).await?;
        let body = body::read(body).await?;
        // Bodies of GET and HEAD mean nothing, and ruma does not look at them.
        if !body.is_empty() && head.method != Method::GET && head.method != Method::HEAD {
            json::check_is_json(&body)?;
        }
        Ok(Self { head, path_args, body })
    }
}

/// The path's variable parts, percent-decoded, in the order of the path.
async fn path_args(head: &mut Parts) -> Result<Vec<String>, Error> {
    let params = RawPathParams::from_request_parts(head, &())
        .await
        .map_err(|error| Error::invalid_param(error.body_text()))?;
    Ok(params.iter().map(|(_, value)| value.to_owned()).collect())
}

fn decode<T: IncomingRequest>(raw: RawRequest) -> Result<T, Error> {
    let RawRequest { head, path_args, body } = raw;
    let args: Vec<&str> = path_args.iter().map(String::as_str).collect();
    // Clients leave a body out when they have nothing to say in it; ruma allows that for some
    // endpoints only.
    let body = if body.is_empty() { b"{}" } else { &body[..] };
    let request = http::Request::from_parts(head, body);
    T::try_from_http_request(request, &args).map_err(|error| refusal(&error))
}

/// Which of Matrix's errors a request deserves that cannot be decoded.
fn refusal(error: &FromHttpRequestError) -> Error {
    let error = match error {
        FromHttpRequestError::MethodMismatch { .. } => return Error::wrong_method(),
        FromHttpRequestError::Deserialization(error) => error,
        error => return Error::bad_json(error.to_string()),
    };
    match error {
        DeserializationError::Json(error) => json::wrong_shape(error),
        DeserializationError::Query(error) => {
            let message = error.to_string();
            if message.starts_with("missing field") {
                Error::missing_param(message)
            } else {
                Error::invalid_param(message)
            }
        }
        error => Error::invalid_param(error.to_string()),
    }
}

#[cfg(test)]
mod tests;

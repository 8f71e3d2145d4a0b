//! An error as Matrix sends it, and its cause as the log sees it.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#standard-error-response>

use std::{borrow::Cow, error::Error as Cause, fmt, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::RETRY_AFTER};
use ruma::api::error::{ErrorKind, LimitExceededErrorData, RetryAfter, UnknownTokenErrorData};
use serde_json::{Map, Value};

/// What a surface answers when it cannot do what was asked.
///
/// The other side sees everything but `cause`. Each surface wraps this in its own type, so that it
/// can say beside its handlers how the errors of a use case look.
#[derive(Debug)]
pub struct Error {
    pub status: StatusCode,
    pub kind: ErrorKind,
    pub message: Cow<'static, str>,
    /// Fields beside `errcode`, `error` and those that `kind` carries. Boxed with the rest because
    /// a `Result` with an error is moved far more often than it is one.
    details: Box<Details>,
}

#[derive(Debug, Default)]
struct Details {
    fields: Map<String, Value>,
    /// The body is `fields` alone: an authentication challenge is no standard error.
    bare: bool,
    cause: Option<Box<dyn Cause + Send + Sync>>,
}

impl Error {
    pub fn new(status: StatusCode, kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, kind, message: message.into(), details: Box::default() }
    }

    /// 403 `M_FORBIDDEN`.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorKind::Forbidden, message)
    }

    /// 404 `M_NOT_FOUND`.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, message)
    }

    /// 400 with the given error code.
    pub fn bad_request(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, message)
    }

    /// 400 `M_INVALID_PARAM`.
    pub fn invalid_param(message: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request(ErrorKind::InvalidParam, message)
    }

    /// 400 `M_MISSING_PARAM`.
    pub fn missing_param(message: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request(ErrorKind::MissingParam, message)
    }

    /// 400 `M_BAD_JSON`.
    pub fn bad_json(message: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request(ErrorKind::BadJson, message)
    }

    /// 413 `M_TOO_LARGE`.
    pub fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, message)
    }

    /// 401 `M_MISSING_TOKEN`.
    pub fn missing_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorKind::MissingToken, "Missing access token")
    }

    /// 401 `M_UNKNOWN_TOKEN`. After a soft logout the client may log in again and keep its device.
    pub fn unknown_token(soft_logout: bool) -> Self {
        let data = UnknownTokenErrorData { soft_logout };
        Self::new(StatusCode::UNAUTHORIZED, ErrorKind::UnknownToken(data), "Unknown access token")
    }

    /// 404 `M_UNRECOGNIZED`: no such endpoint here.
    pub fn unrecognized() -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorKind::Unrecognized, "Unrecognized request")
    }

    /// 405 `M_UNRECOGNIZED`: the endpoint exists, but not for this method.
    pub fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::Unrecognized, "Unrecognized method")
    }

    /// 429 `M_LIMIT_EXCEEDED` with the time to wait, in the body and as `Retry-After`.
    pub fn limit_exceeded(retry_after: Duration) -> Self {
        let data = LimitExceededErrorData { retry_after: Some(RetryAfter::Delay(retry_after)) };
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::LimitExceeded(data),
            "Too many requests",
        )
    }

    /// 500 `M_UNKNOWN`: our fault. The cause is logged, never sent.
    pub fn internal(cause: impl Into<Box<dyn Cause + Send + Sync>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Unknown, "Internal server error")
            .caused_by(cause)
    }

    /// 401 with the body of a user-interactive authentication, which may carry an error of its own.
    pub fn challenge(body: Map<String, Value>) -> Self {
        let mut error =
            Self::new(StatusCode::UNAUTHORIZED, ErrorKind::Unauthorized, "Authentication needed");
        error.details.fields = body;
        error.details.bare = true;
        error
    }

    /// Adds a field to the body.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.details.fields.insert(field.to_owned(), value.into());
        self
    }

    /// Adds what the log should know.
    pub fn caused_by(mut self, cause: impl Into<Box<dyn Cause + Send + Sync>>) -> Self {
        self.details.cause = Some(cause.into());
        self
    }

    pub fn cause(&self) -> Option<&(dyn Cause + Send + Sync)> {
        self.details.cause.as_deref()
    }

    /// The body that is sent.
    pub fn body(&self) -> Value {
        if self.details.bare {
            return Value::Object(self.details.fields.clone());
        }
        let mut body = match serde_json::to_value(&self.kind) {
            Ok(Value::Object(body)) => body,
            _ => Map::from_iter([("errcode".to_owned(), "M_UNKNOWN".into())]),
        };
        body.insert("error".to_owned(), self.message.clone().into());
        body.extend(self.details.fields.clone());
        Value::Object(body)
    }

    fn retry_after_s(&self) -> Option<u64> {
        match &self.kind {
            ErrorKind::LimitExceeded(LimitExceededErrorData {
                retry_after: Some(RetryAfter::Delay(delay)),
            }) => Some(delay.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.kind.errcode(), self.message)
    }
}

impl Cause for Error {
    fn source(&self) -> Option<&(dyn Cause + 'static)> {
        self.details.cause.as_deref().map(|cause| cause as _)
    }
}

impl IntoResponse for Error {
    /// Also the one place where an error that is our fault is logged.
    fn into_response(self) -> Response {
        // That somebody else does not answer is no error of ours.
        let of_others = matches!(self.status.as_u16(), 502 | 504);
        if self.status.is_server_error() && !of_others {
            let cause =
                self.details.cause.as_ref().map(|cause| chain(&**cause)).unwrap_or_default();
            tracing::error!(status = self.status.as_u16(), cause, "{}", self.message);
        }
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// An error with its sources, outermost first.
pub fn chain(error: &dyn Cause) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests;

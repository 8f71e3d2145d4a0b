//! Browsers on any site may use the client API: there are no cookies to protect.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients>

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    },
};

/// The answer to a browser that asks whether it may ask: no endpoint sees it.
pub fn preflight(request: &Request) -> Option<Response> {
    (request.method() == Method::OPTIONS).then(|| StatusCode::NO_CONTENT.into_response())
}

/// Marks an answer as one that every site may read.
pub fn allow_every_origin(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "X-Requested-With, Content-Type, Authorization, Date, If-Match, If-None-Match, Range",
        ),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "Content-Disposition, ETag, Retry-After, Location"),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

//! Who makes a request: the server whose key has signed its method, URI and body.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#request-authentication>

use axum::{
    Extension,
    body::Body,
    extract::{FromRequestParts, OriginalUri, Request},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::AUTHORIZATION, request::Parts};
use ruma::{
    OwnedServerName, ServerName,
    api::{
        error::ErrorKind,
        federation::authentication::{XMatrix, XMatrixParseError},
    },
    serde::Base64,
    signatures::{PublicKeyMap, PublicKeySet},
};
use web::Error;

use crate::{
    Federation,
    keys::{KeyError, Keys, When},
};

#[cfg(test)]
mod tests;

/// A server may sign with several keys, each in a header of its own.
const HEADERS_MAX: usize = 4;

/// The server that signed the request. Only [`authorise`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteServer {
    name: OwnedServerName,
}

impl RemoteServer {
    pub fn name(&self) -> &ServerName {
        &self.name
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RemoteServer {
    type Rejection = Error;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Error> {
        // The middleware has put it there; where it was not asked, nobody is let in.
        head.extensions.get::<Self>().cloned().ok_or_else(|| unauthorised("It is not signed"))
    }
}

/// Why a request is not from whom it says.
#[derive(Debug, thiserror::Error)]
pub enum NotAuthorised {
    #[error("it has no Authorization header")]
    Missing,
    #[error("it has more than {HEADERS_MAX} Authorization headers")]
    TooMany,
    #[error("its Authorization header cannot be read")]
    Header(#[from] XMatrixParseError),
    #[error("its Authorization headers name several origins")]
    SeveralOrigins,
    #[error("it is for another server")]
    OtherDestination,
    #[error("it claims to be from ourselves")]
    Ourselves,
    #[error("its body is not canonical JSON")]
    Body(#[source] serde_json::Error),
    #[error("the key that signed it is not known")]
    Key(#[source] KeyError),
    #[error("its signature is wrong")]
    Signature,
}

/// Middleware: lets only requests pass that another server has signed, and tells the handler
/// which.
pub async fn authorise(
    Extension(federation): Extension<Federation>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    // The limit is an extension of the head: the body must get it before they are parted.
    let (head, body) = web::body::limited(request).into_parts();
    let body = web::body::read(body).await?;
    let signed = http::Request::from_parts(head, body);
    let us = &federation.context().server_name;
    let name = match check(&federation.keys, us, &signed).await {
        Ok(name) => name,
        Err(reason) => {
            let cause = web::error::chain(&reason);
            tracing::debug!(cause, "a request was not authorised");
            return Err(unauthorised(format!("The request is not authorised: {reason}")));
        }
    };
    federation.contacts.heard_from(&name).await;
    let (mut head, body) = signed.into_parts();
    head.extensions.insert(RemoteServer { name });
    Ok(next.run(Request::from_parts(head, Body::from(body))).await)
}

/// The server that signed the request.
async fn check(
    keys: &Keys,
    us: &ServerName,
    request: &http::Request<Bytes>,
) -> Result<OwnedServerName, NotAuthorised> {
    let claims = claims(request.headers())?;
    let Some(first) = claims.first() else { return Err(NotAuthorised::Missing) };
    for claim in &claims {
        if claim.origin != first.origin {
            return Err(NotAuthorised::SeveralOrigins);
        }
        // Signatures cover the destination whether it is named or not: servers from before
        // version 1.3 of the specification do not name it.
        if claim.destination.as_deref().is_some_and(|destination| destination != us) {
            return Err(NotAuthorised::OtherDestination);
        }
    }
    if first.origin == us {
        return Err(NotAuthorised::Ourselves);
    }
    let request = as_signed(request);
    XMatrix::request_object(&request, &first.origin, us).map_err(NotAuthorised::Body)?;
    let mut reason = NotAuthorised::Signature;
    for claim in &claims {
        match keys.key(&claim.origin, claim.key.as_str(), When::Now).await {
            Ok(key) if is_signed(&request, us, claim, key) => return Ok(first.origin.clone()),
            Ok(_) => reason = NotAuthorised::Signature,
            Err(error) => reason = NotAuthorised::Key(error),
        }
    }
    Err(reason)
}

fn claims(headers: &HeaderMap) -> Result<Vec<XMatrix>, NotAuthorised> {
    let headers: Vec<_> = headers.get_all(AUTHORIZATION).iter().collect();
    if headers.len() > HEADERS_MAX {
        return Err(NotAuthorised::TooMany);
    }
    let claims = headers.into_iter().map(|header| Ok(XMatrix::try_from(header)?));
    claims.collect()
}

/// The request with the URI that was sent, of which a router may have cut off the start.
fn as_signed(request: &http::Request<Bytes>) -> http::Request<Bytes> {
    let mut signed = request.clone();
    if let Some(OriginalUri(uri)) = request.extensions().get() {
        *signed.uri_mut() = uri.clone();
    }
    signed
}

fn is_signed(
    request: &http::Request<Bytes>,
    us: &ServerName,
    claim: &XMatrix,
    key: [u8; 32],
) -> bool {
    let keys = PublicKeySet::from([(claim.key.to_string(), Base64::new(key.to_vec()))]);
    let keys = PublicKeyMap::from([(claim.origin.to_string(), keys)]);
    claim.verify_http_request(request, us, &keys).is_ok()
}

fn unauthorised(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(StatusCode::UNAUTHORIZED, ErrorKind::Unauthorized, message)
}

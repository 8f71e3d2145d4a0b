//! Who asks: the local user whose access token the request carries.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#using-access-tokens>

use std::ops::Deref;

use axum::extract::FromRequestParts;
use http::{HeaderMap, StatusCode, header::AUTHORIZATION, request::Parts};
use ruma::UserId;
use services::sessions::{self, AuthenticateError};
use web::ErrorKind;

use super::{appservice, error::Error};
use crate::{app::App, http::Origin};

#[cfg(test)]
mod tests;

/// A local user who may use the server. As an argument of a handler: 401 was answered before it.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) sessions::Caller);

/// A local user, even when his account is locked. Only for what a locked user may do.
#[derive(Clone, Debug)]
pub(crate) struct CallerEvenLocked(pub(crate) sessions::Caller);

impl Deref for Caller {
    type Target = sessions::Caller;

    fn deref(&self) -> &sessions::Caller {
        &self.0
    }
}

impl Caller {
    /// The path names the user: it must be the caller himself.
    pub(crate) fn must_be(&self, user: &UserId) -> Result<(), Error> {
        if self.user_id == *user {
            return Ok(());
        }
        Err(web::Error::forbidden("That belongs to another user").into())
    }

    /// A suspended user reads, but does not write to others.
    ///
    /// <https://spec.matrix.org/v1.19/client-server-api/#account-suspension>
    pub(crate) fn must_not_be_suspended(&self) -> Result<(), Error> {
        if !self.suspended {
            return Ok(());
        }
        let kind = ErrorKind::UserSuspended;
        Err(web::Error::new(StatusCode::FORBIDDEN, kind, "This account is suspended").into())
    }

    /// Only administrators may go on.
    pub(crate) fn must_be_admin(&self) -> Result<(), Error> {
        if self.admin {
            return Ok(());
        }
        Err(web::Error::forbidden("You are not a server administrator").into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CallerEvenLocked {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let app = App::of(parts)?;
        let token = token(parts).ok_or_else(web::Error::missing_token)?;
        let actors = &app.services.actors;
        let caller = match actors.list().with_token(&token) {
            Some(own) => actors.act(&own, appservice::role(parts)?).await?,
            None => app.services.sessions.authenticate(&token).await?,
        };
        let address = parts.extensions.get::<Origin>().map(|origin| origin.address);
        app.services.sessions.note_seen(&caller, address);
        Ok(Self(caller))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let CallerEvenLocked(caller) = CallerEvenLocked::from_request_parts(parts, state).await?;
        if caller.locked { Err(locked()) } else { Ok(Self(caller)) }
    }
}

/// 401 `M_USER_LOCKED`: the client keeps its session for when the lock is lifted.
pub(super) fn locked() -> Error {
    let kind = ErrorKind::UserLocked;
    Error(web::Error::new(StatusCode::UNAUTHORIZED, kind, "This account has been locked"))
}

/// The access token of the header, or of the query as older clients send it.
pub(super) fn token(parts: &Parts) -> Option<String> {
    let token = match header_token(&parts.headers) {
        Some(token) => token.to_owned(),
        None => query(parts, &["access_token"])?,
    };
    (!token.is_empty()).then_some(token)
}

fn header_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The first value in the query that has one of these names.
pub(super) fn query(parts: &Parts, names: &[&str]) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(parts.uri.query()?.as_bytes());
    pairs.find(|(name, _)| names.contains(&&**name)).map(|(_, value)| value.into_owned())
}

impl From<AuthenticateError> for Error {
    fn from(error: AuthenticateError) -> Self {
        match error {
            AuthenticateError::UnknownToken => web::Error::unknown_token(false).into(),
            AuthenticateError::Expired => web::Error::unknown_token(true).into(),
            AuthenticateError::Read(error) => error.into(),
            AuthenticateError::Commit(error) => error.into(),
        }
    }
}

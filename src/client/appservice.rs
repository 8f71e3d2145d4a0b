//! What appservices may ask that other clients may not: to act for users of theirs, and to choose the
//! time of an event.
//!
//! <https://spec.matrix.org/v1.19/application-service-api/#client-server-api-extensions>

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{StatusCode, request::Parts};
use ruma::{RoomAliasId, UserId};
use services::{
    appservices::{ActError, Appservice, Role},
    sessions,
};
use web::ErrorKind;

use super::{
    caller::{query, token},
    error::Error,
};
use crate::app::App;

#[cfg(test)]
mod tests;

/// The appservice whose token the request carries; or why there is none. For endpoints that serve
/// everybody, and appservices in another way.
pub(crate) struct CallingAppservice(pub(crate) Result<Arc<Appservice>, web::Error>);

impl<S: Send + Sync> FromRequestParts<S> for CallingAppservice {
    type Rejection = web::Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, web::Error> {
        let app = App::of(parts)?;
        Ok(Self(match token(parts) {
            None => Err(web::Error::missing_token()),
            Some(token) => {
                let found = app.services.actors.list().with_token(&token);
                found.ok_or_else(|| web::Error::unknown_token(false))
            }
        }))
    }
}

/// The time that the request wants for its event, in milliseconds since the Unix epoch.
///
/// <https://spec.matrix.org/v1.19/application-service-api/#timestamp-massaging>
pub(crate) struct WantedTime(Option<u64>);

impl WantedTime {
    /// Only appservices are heard.
    pub(crate) fn granted(self, caller: &sessions::Caller) -> Option<u64> {
        self.0.filter(|_| caller.appservice.is_some())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WantedTime {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        /// What fits into the integers of canonical JSON.
        const MS_MAX: u64 = (1 << 53) - 1;
        let Some(text) = query(parts, &["ts"]) else { return Ok(Self(None)) };
        match text.parse() {
            Ok(ms) if ms <= MS_MAX => Ok(Self(Some(ms))),
            _ => Err(web::Error::invalid_param("ts is no time").into()),
        }
    }
}

/// As whom an appservice asks.
pub(super) fn role(parts: &Parts) -> Result<Role, web::Error> {
    let user = query(parts, &["user_id"]).map(UserId::parse).transpose();
    Ok(Role {
        user: user.map_err(|_| web::Error::invalid_param("user_id is no user id"))?,
        device: query(parts, &["device_id", "org.matrix.msc3202.device_id"]).map(Into::into),
    })
}

/// An alias in an appservice's exclusive namespace is for that appservice, and an appservice makes
/// aliases in its namespaces only.
pub(super) fn may_make_alias(
    app: &App,
    caller: &sessions::Caller,
    alias: &RoomAliasId,
) -> Result<(), Error> {
    let own = caller.appservice.as_deref();
    let allowed = own.is_none_or(|own| own.covers_alias(alias))
        && !app.services.actors.list().reserve_alias(alias, own);
    if allowed {
        return Ok(());
    }
    let message = "The alias is reserved";
    Err(web::Error::bad_request(ErrorKind::Exclusive, message).into())
}

impl From<ActError> for Error {
    fn from(error: ActError) -> Self {
        match error {
            ActError::NotCovered | ActError::NoAccount => {
                web::Error::forbidden(error.to_string()).into()
            }
            ActError::UnknownDevice => {
                let (status, kind) = (StatusCode::BAD_REQUEST, ErrorKind::UnknownDevice);
                web::Error::new(status, kind, error.to_string()).into()
            }
            ActError::Register(error) => error.into(),
            ActError::Login(error) => error.into(),
            ActError::Read(error) => error.into(),
        }
    }
}

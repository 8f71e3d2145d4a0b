//! What a `GET` asks for: the variable parts of its path and its query, decoded into own types.
//!
//! For endpoints whose parameters ruma's types would lose or rename: inline filters with fields
//! that ruma does not know, state types that ruma takes for aliases of others.

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use ruma::api::Direction;
use serde::de::DeserializeOwned;
use services::{filter::EventFilter, reader::Reader, sessions, timeline};

use super::error::Error;

/// The path's variable parts (one, or a tuple), and the query.
pub(crate) struct Asked<P, Q>(pub(crate) P, pub(crate) Q);

/// A query, for a path without variable parts.
pub(crate) struct AskedQuery<Q>(pub(crate) Q);

impl<S, P, Q> FromRequestParts<S> for Asked<P, Q>
where
    S: Send + Sync,
    P: DeserializeOwned + Send,
    Q: DeserializeOwned,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<P>::from_request_parts(parts, state).await;
        let Path(path) = path.map_err(|error| web::Error::invalid_param(error.body_text()))?;
        let AskedQuery(query) = AskedQuery::from_request_parts(parts, state).await?;
        Ok(Self(path, query))
    }
}

impl<S: Send + Sync, Q: DeserializeOwned> FromRequestParts<S> for AskedQuery<Q> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Query::<Q>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => {
                let message = error.body_text();
                let is_missing = message.contains("missing field");
                Err(match is_missing {
                    true => web::Error::missing_param(message),
                    false => web::Error::invalid_param(message),
                }
                .into())
            }
        }
    }
}

/// The caller, as services know those who read.
pub(super) fn reader(caller: &sessions::Caller) -> Reader {
    Reader { user: caller.user_id.clone(), device: caller.device_id.clone() }
}

pub(super) fn direction(direction: Direction) -> timeline::Direction {
    match direction {
        Direction::Backward => timeline::Direction::Backward,
        Direction::Forward => timeline::Direction::Forward,
    }
}

/// The filter in the query: JSON, or nothing.
pub(super) fn event_filter(json: Option<&str>) -> Result<EventFilter, Error> {
    let Some(json) = json.filter(|json| !json.is_empty()) else {
        return Ok(EventFilter::default());
    };
    EventFilter::parse(json).map_err(|error| web::Error::bad_json(error.to_string()).into())
}

impl From<timeline::ReadError> for Error {
    fn from(error: timeline::ReadError) -> Self {
        match error {
            timeline::ReadError::NotAllowed => {
                web::Error::forbidden("You are not a member of the room").into()
            }
            timeline::ReadError::NoSuchEvent => {
                web::Error::not_found("The event was not found").into()
            }
            timeline::ReadError::BadToken => {
                web::Error::invalid_param("The token is not one of ours").into()
            }
            timeline::ReadError::Store(error) => error.into(),
        }
    }
}

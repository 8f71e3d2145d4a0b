//! `/profile`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#profiles>

use axum::{Extension, extract::Path};
use http::StatusCode;
use ruma::{OwnedUserId, api::client::profile::get_profile};
use serde_json::{Map, Value, json};
use services::{member_events::MemberEventsError, profile::ProfileError};
use web::{ErrorKind, Json, JsonBody, Matrix};

use super::{caller::Caller, error::Error};
use crate::app::App;

/// `GET /_matrix/client/v3/profile/{userId}`
pub(crate) async fn get_profile(
    Extension(app): Extension<App>,
    Matrix(request): Matrix<get_profile::v3::Request>,
) -> Result<Json<Value>, Error> {
    let profile = app.services.profiles.of_anybody(&request.user_id).await?;
    Ok(Json(json!(profile.ok_or_else(unknown)?)))
}

/// `GET /_matrix/client/v3/profile/{userId}/{keyName}`
pub(crate) async fn get_profile_field(
    Extension(app): Extension<App>,
    Path((user, name)): Path<(String, String)>,
) -> Result<Json<Value>, Error> {
    let profile = app.services.profiles.of_anybody(&parse(user)?).await?;
    let value = profile.and_then(|mut profile| profile.remove(&name)).ok_or_else(unknown)?;
    Ok(Json(json!({ name: value })))
}

/// `PUT /_matrix/client/v3/profile/{userId}/{keyName}`
pub(crate) async fn set_profile_field(
    Extension(app): Extension<App>,
    caller: Caller,
    Path((user, name)): Path<(String, String)>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Json<Value>, Error> {
    caller.must_not_be_suspended()?;
    caller.must_be(&parse(user)?)?;
    let missing = || web::Error::missing_param("The body has no value for this field");
    let value = body.get(&name).ok_or_else(missing)?;
    app.services.profiles.set(&caller, &name, Some(value)).await?;
    app.services.member_events.follow_user(&caller.user_id).await?;
    Ok(Json(json!({})))
}

/// `DELETE /_matrix/client/v3/profile/{userId}/{keyName}`
pub(crate) async fn delete_profile_field(
    Extension(app): Extension<App>,
    caller: Caller,
    Path((user, name)): Path<(String, String)>,
) -> Result<Json<Value>, Error> {
    caller.must_not_be_suspended()?;
    caller.must_be(&parse(user)?)?;
    app.services.profiles.set(&caller, &name, None).await?;
    app.services.member_events.follow_user(&caller.user_id).await?;
    Ok(Json(json!({})))
}

fn parse(user: String) -> Result<OwnedUserId, web::Error> {
    OwnedUserId::try_from(user).map_err(|error| web::Error::invalid_param(error.to_string()))
}

fn unknown() -> Error {
    web::Error::not_found("There is no such user or profile field").into()
}

impl From<ProfileError> for Error {
    fn from(error: ProfileError) -> Self {
        let bad = |kind| web::Error::new(StatusCode::BAD_REQUEST, kind, error.to_string());
        match &error {
            ProfileError::InvalidName => bad(ErrorKind::InvalidParam).into(),
            ProfileError::InvalidValue(_) => bad(ErrorKind::InvalidParam).into(),
            ProfileError::LongName => bad(ErrorKind::KeyTooLarge).into(),
            ProfileError::TooLarge => bad(ErrorKind::ProfileTooLarge).into(),
            ProfileError::UnknownUser => web::Error::forbidden(error.to_string()).into(),
            ProfileError::Read(error) => error.clone().into(),
            ProfileError::Commit(error) => error.clone().into(),
        }
    }
}

impl From<MemberEventsError> for Error {
    fn from(error: MemberEventsError) -> Self {
        match error {
            MemberEventsError::Read(error) => error.into(),
            MemberEventsError::Commit(error) => error.into(),
        }
    }
}

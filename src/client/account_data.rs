//! `/user/{userId}/account_data` and `/user/{userId}/rooms/{roomId}/account_data`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#client-config>

use axum::Extension;
use bytes::Bytes;
use http::StatusCode;
use ruma::api::client::config::{
    get_global_account_data, get_room_account_data, set_global_account_data, set_room_account_data,
};
use serde_json::{Value, json, value::RawValue};
use services::account_data::AccountDataError;
use web::{ErrorKind, Json, Matrix};

use super::{caller::Caller, error::Error};
use crate::app::App;

/// `GET /_matrix/client/v3/user/{userId}/account_data/{type}`
pub(crate) async fn get_global_account_data(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_global_account_data::v3::Request>,
) -> Result<Json<Box<RawValue>>, Error> {
    caller.must_be(&request.user_id)?;
    let kind = request.event_type.to_string();
    answer(app.services.account_data.get(&caller, None, &kind).await?)
}

/// `PUT /_matrix/client/v3/user/{userId}/account_data/{type}`
pub(crate) async fn set_global_account_data(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<set_global_account_data::v3::Request>,
) -> Result<Json<Value>, Error> {
    caller.must_be(&request.user_id)?;
    let (kind, content) = (request.event_type.to_string(), request.data.json().get());
    app.services.account_data.set(&caller, None, &kind, content).await?;
    Ok(Json(json!({})))
}

/// `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
pub(crate) async fn get_room_account_data(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_room_account_data::v3::Request>,
) -> Result<Json<Box<RawValue>>, Error> {
    caller.must_be(&request.user_id)?;
    let kind = request.event_type.to_string();
    answer(app.services.account_data.get(&caller, Some(&request.room_id), &kind).await?)
}

/// `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
pub(crate) async fn set_room_account_data(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<set_room_account_data::v3::Request>,
) -> Result<Json<Value>, Error> {
    caller.must_be(&request.user_id)?;
    let (kind, content) = (request.event_type.to_string(), request.data.json().get());
    app.services.account_data.set(&caller, Some(&request.room_id), &kind, content).await?;
    Ok(Json(json!({})))
}

fn answer(content: Option<Bytes>) -> Result<Json<Box<RawValue>>, Error> {
    let content = content.ok_or_else(|| web::Error::not_found("There is no such account data"))?;
    raw(&content).map(Json)
}

/// Stored JSON text, to be sent as it is.
pub(super) fn raw(json: &[u8]) -> Result<Box<RawValue>, Error> {
    serde_json::from_slice(json).map_err(|error| web::Error::internal(error).into())
}

impl From<AccountDataError> for Error {
    fn from(error: AccountDataError) -> Self {
        match &error {
            AccountDataError::ServerControlled => {
                let status = StatusCode::METHOD_NOT_ALLOWED;
                web::Error::new(status, ErrorKind::BadJson, error.to_string()).into()
            }
            AccountDataError::NotAnObject => web::Error::bad_json(error.to_string()).into(),
            AccountDataError::TooLarge => web::Error::too_large(error.to_string()).into(),
            AccountDataError::LongType => web::Error::invalid_param(error.to_string()).into(),
            AccountDataError::UnknownRoom => web::Error::not_found(error.to_string()).into(),
            AccountDataError::Read(error) => error.clone().into(),
            AccountDataError::Commit(error) => error.clone().into(),
        }
    }
}

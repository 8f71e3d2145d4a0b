//! Tokens with which a user shows others who he is: OpenID and TURN.

use axum::Extension;
use ruma::api::client::account::request_openid_token::v3::Request;
use serde_json::{Value, json};
use services::openid::OpenIdError;
use web::{Json, Matrix};

use super::{caller::Caller, error::Error};
use crate::app::App;

/// `POST /_matrix/client/v3/user/{userId}/openid/request_token`
pub(crate) async fn request_openid_token(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<Request>,
) -> Result<Json<Value>, Error> {
    caller.must_be(&request.user_id)?;
    let (token, lifetime) = app.services.openid.issue(&caller).await?;
    Ok(Json(json!({
        "access_token": token,
        "token_type": "Bearer",
        "matrix_server_name": app.server_name,
        "expires_in": lifetime.as_secs(),
    })))
}

/// `GET /_matrix/client/v3/voip/turnServer`
pub(crate) async fn get_turn_server_info(
    Extension(app): Extension<App>,
    caller: Caller,
) -> Json<Value> {
    Json(match app.services.turn.credentials(&caller) {
        Some(credentials) => json!({
            "username": credentials.username,
            "password": credentials.password,
            "uris": credentials.uris,
            "ttl": credentials.lifetime_s,
        }),
        None => json!({}),
    })
}

impl From<OpenIdError> for Error {
    fn from(error: OpenIdError) -> Self {
        match error {
            OpenIdError::Read(error) => error.into(),
            OpenIdError::Commit(error) => error.into(),
        }
    }
}

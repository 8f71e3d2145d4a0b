//! `/login`, `/refresh` and `/logout`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#legacy-login>

use axum::Extension;
use bytes::Bytes;
use ruma::{OwnedDeviceId, api::client::session::refresh_token};
use serde::Deserialize;
use serde_json::{Value, json};
use services::{
    login::LoginError,
    sessions::{NewSession, RefreshError},
};
use web::{ErrorKind, Json, JsonBody, Matrix};

use super::{
    appservice::CallingAppservice,
    caller::{Caller, CallerEvenLocked, locked},
    error::Error,
    register::{session_answer, tokens_answer},
    uia,
};
use crate::{app::App, http::Origin};

/// `GET /_matrix/client/v3/login`
pub(crate) async fn get_login_types() -> Json<Value> {
    Json(json!({ "flows": [
        { "type": "m.login.password" },
        { "type": "m.login.token", "get_login_token": true },
        { "type": "m.login.application_service" },
    ] }))
}

/// The body of a login. Decoded by hand: clients send many shapes of it.
#[derive(Deserialize)]
pub(crate) struct LoginBody {
    #[serde(rename = "type")]
    kind: String,
    identifier: Option<Identifier>,
    /// Where older clients have the user.
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    device_id: Option<OwnedDeviceId>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    refresh_token: bool,
}

#[derive(Deserialize)]
struct Identifier {
    user: Option<String>,
}

impl LoginBody {
    /// Without one: an e-mail address or a telephone number, which nobody has here.
    fn user_named(self) -> Option<String> {
        self.identifier.and_then(|identifier| identifier.user).or(self.user)
    }
}

/// `POST /_matrix/client/v3/login`
pub(crate) async fn login(
    Extension(app): Extension<App>,
    Extension(origin): Extension<Origin>,
    CallingAppservice(appservice): CallingAppservice,
    JsonBody(body): JsonBody<LoginBody>,
) -> Result<Json<Value>, Error> {
    app.limits.login(origin.address)?;
    let new = NewSession {
        device_id: body.device_id.clone(),
        display_name: body.initial_device_display_name.clone(),
        refreshable: body.refresh_token,
    };
    let missing = |what: &'static str| web::Error::missing_param(what);
    let session = match body.kind.as_str() {
        "m.login.password" => {
            let password = body.password.clone();
            let password = password.ok_or_else(|| missing("The password is missing"))?;
            let user = body.user_named().ok_or(LoginError::WrongCredentials)?;
            app.services.login.with_password(&user, &password, new).await?
        }
        "m.login.token" => {
            let token = body.token.ok_or_else(|| missing("The token is missing"))?;
            app.services.login.with_token(&token, new).await?
        }
        "m.login.application_service" => {
            let appservice = appservice?;
            let user = body.user_named().ok_or_else(|| missing("The user is missing"))?;
            app.services.actors.log_in(&appservice, &user, new).await?
        }
        _ => {
            let message = "This type of login is not supported";
            return Err(web::Error::bad_request(ErrorKind::Unknown, message).into());
        }
    };
    Ok(Json(Value::Object(session_answer(session))))
}

/// `POST /_matrix/client/v1/login/get_token`
pub(crate) async fn get_login_token(
    Extension(app): Extension<App>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Value>, Error> {
    uia::prove_password(&app, &caller, "POST /login/get_token".to_owned(), &body).await?;
    let (token, lifetime) = app.services.login.issue_token(&caller).await?;
    let expires_in_ms = lifetime.as_millis() as u64;
    Ok(Json(json!({ "login_token": token, "expires_in_ms": expires_in_ms })))
}

/// `POST /_matrix/client/v3/refresh`
pub(crate) async fn refresh_token(
    Extension(app): Extension<App>,
    Matrix(request): Matrix<refresh_token::v3::Request>,
) -> Result<Json<Value>, Error> {
    let session = app.services.sessions.refresh(&request.refresh_token).await?;
    Ok(Json(Value::Object(tokens_answer(&session))))
}

/// `POST /_matrix/client/v3/logout`
pub(crate) async fn logout(
    Extension(app): Extension<App>,
    CallerEvenLocked(caller): CallerEvenLocked,
) -> Result<Json<Value>, Error> {
    app.services.sessions.close(&caller).await?;
    Ok(Json(json!({})))
}

/// `POST /_matrix/client/v3/logout/all`
pub(crate) async fn logout_all(
    Extension(app): Extension<App>,
    CallerEvenLocked(caller): CallerEvenLocked,
) -> Result<Json<Value>, Error> {
    app.services.sessions.close_all(&caller).await?;
    Ok(Json(json!({})))
}

impl From<LoginError> for Error {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::WrongCredentials => web::Error::forbidden(error.to_string()).into(),
            LoginError::Deactivated => {
                let kind = ErrorKind::UserDeactivated;
                web::Error::new(http::StatusCode::FORBIDDEN, kind, error.to_string()).into()
            }
            LoginError::Locked => locked(),
            LoginError::Password(error) => web::Error::internal(error).into(),
            LoginError::Session(error) => error.into(),
            LoginError::Read(error) => error.into(),
            LoginError::Commit(error) => error.into(),
        }
    }
}

impl From<RefreshError> for Error {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::UnknownToken => web::Error::unknown_token(false).into(),
            RefreshError::Session(error) => error.into(),
            RefreshError::Read(error) => error.into(),
            RefreshError::Commit(error) => error.into(),
        }
    }
}

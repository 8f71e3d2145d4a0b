//! `/account`: the caller's own account.

use axum::Extension;
use ruma::api::client::account::{change_password, deactivate};
use serde_json::{Value, json};
use services::accounts::StandingError;
use web::{Json, MatrixWithBody};

use super::{
    caller::{Caller, CallerEvenLocked},
    error::Error,
    uia,
};
use crate::app::App;

/// `GET /_matrix/client/v3/account/whoami`
pub(crate) async fn whoami(CallerEvenLocked(caller): CallerEvenLocked) -> Json<Value> {
    let mut answer = json!({ "user_id": caller.user_id, "is_guest": false });
    if let Some(device_id) = &caller.device_id {
        answer["device_id"] = json!(device_id);
    }
    Json(answer)
}

/// `POST /_matrix/client/v3/account/password`
pub(crate) async fn change_password(
    Extension(app): Extension<App>,
    caller: Caller,
    MatrixWithBody(request, body): MatrixWithBody<change_password::v3::Request>,
) -> Result<Json<Value>, Error> {
    uia::prove_password(&app, &caller, "POST /account/password".to_owned(), &body).await?;
    let accounts = &app.services.accounts;
    accounts.change_password(&caller, &request.new_password, request.logout_devices).await?;
    Ok(Json(json!({})))
}

/// `POST /_matrix/client/v3/account/deactivate`
pub(crate) async fn deactivate(
    Extension(app): Extension<App>,
    caller: Caller,
    MatrixWithBody(request, body): MatrixWithBody<deactivate::v3::Request>,
) -> Result<Json<Value>, Error> {
    let endpoint = "POST /account/deactivate".to_owned();
    uia::prove_password_or_appservice(&app, &caller, endpoint, &body).await?;
    app.services.accounts.deactivate(&caller.user_id, request.erase).await?;
    Ok(Json(json!({ "id_server_unbind_result": "no-support" })))
}

impl From<StandingError> for Error {
    fn from(error: StandingError) -> Self {
        match error {
            StandingError::UnknownUser => web::Error::not_found(error.to_string()).into(),
            StandingError::Read(error) => error.into(),
            StandingError::Commit(error) => error.into(),
        }
    }
}

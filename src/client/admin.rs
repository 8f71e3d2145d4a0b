//! What administrators do to accounts: `/admin`, and the registration of Synapse's tools.

use axum::{Extension, extract::Path};
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Value, json};
use services::{
    accounts::{Account, NewAccount},
    devices::DeviceInfo,
    sessions::NewSession,
    shared_secret::{ProvenRequest, SharedSecretError},
};
use web::{ErrorKind, Json, JsonBody};

use super::{caller::Caller, error::Error, register};
use crate::app::App;

/// `GET /_matrix/client/v1/admin/suspend/{userId}`
pub(crate) async fn is_user_suspended(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(user): Path<String>,
) -> Result<Json<Value>, Error> {
    let (_, account) = target(&app, &caller, user).await?;
    Ok(Json(json!({ "suspended": account.suspended })))
}

#[derive(Deserialize)]
pub(crate) struct Suspend {
    suspended: bool,
}

/// `PUT /_matrix/client/v1/admin/suspend/{userId}`
pub(crate) async fn suspend_user(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(user): Path<String>,
    JsonBody(body): JsonBody<Suspend>,
) -> Result<Json<Value>, Error> {
    let (user, _) = target(&app, &caller, user).await?;
    app.services.accounts.set_suspended(&user, body.suspended).await?;
    Ok(Json(json!({ "suspended": body.suspended })))
}

/// `GET /_matrix/client/v1/admin/lock/{userId}`
pub(crate) async fn is_user_locked(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(user): Path<String>,
) -> Result<Json<Value>, Error> {
    let (_, account) = target(&app, &caller, user).await?;
    Ok(Json(json!({ "locked": account.locked })))
}

#[derive(Deserialize)]
pub(crate) struct Lock {
    locked: bool,
}

/// `PUT /_matrix/client/v1/admin/lock/{userId}`
pub(crate) async fn lock_user(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(user): Path<String>,
    JsonBody(body): JsonBody<Lock>,
) -> Result<Json<Value>, Error> {
    let (user, _) = target(&app, &caller, user).await?;
    app.services.accounts.set_locked(&user, body.locked).await?;
    Ok(Json(json!({ "locked": body.locked })))
}

/// Whom an administrator may lock or suspend. "Servers MUST ensure that authorisation is checked
/// prior to trying to do account lookups."
async fn target(app: &App, caller: &Caller, user: String) -> Result<(OwnedUserId, Account), Error> {
    caller.must_be_admin()?;
    let user = OwnedUserId::try_from(user)
        .map_err(|error| web::Error::invalid_param(error.to_string()))?;
    if user.server_name() != app.server_name {
        return Err(web::Error::invalid_param("The user belongs to another server").into());
    }
    let account = app.services.accounts.find_user(&user).await?;
    let account = account.filter(|account| !account.deactivated);
    let account = account.ok_or_else(|| web::Error::not_found("There is no such user"))?;
    if account.admin {
        return Err(web::Error::forbidden("The user is an administrator").into());
    }
    Ok((user, account))
}

/// `GET /_matrix/client/v3/admin/whois/{userId}`
pub(crate) async fn get_user_info(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(user): Path<String>,
) -> Result<Json<Value>, Error> {
    if caller.user_id.as_str() != user {
        caller.must_be_admin()?;
    }
    let user = OwnedUserId::try_from(user)
        .map_err(|error| web::Error::invalid_param(error.to_string()))?;
    if app.services.accounts.find_user(&user).await?.is_none() {
        return Err(web::Error::not_found("There is no such user").into());
    }
    let devices = app.services.devices.list(user.localpart()).await?;
    let devices: serde_json::Map<String, Value> = devices.into_iter().map(whois).collect();
    Ok(Json(json!({ "user_id": user, "devices": devices })))
}

fn whois(device: DeviceInfo) -> (String, Value) {
    let connections: Vec<Value> = device
        .last_seen
        .into_iter()
        .map(|seen| json!({ "ip": seen.address, "last_seen": seen.at_ms }))
        .collect();
    (device.device_id, json!({ "sessions": [{ "connections": connections }] }))
}

/// `GET /_synapse/admin/v1/register`
pub(crate) async fn get_registration_nonce(
    Extension(app): Extension<App>,
) -> Result<Json<Value>, Error> {
    Ok(Json(json!({ "nonce": app.services.shared_secret.nonce()? })))
}

#[derive(Deserialize)]
pub(crate) struct SharedSecretBody {
    nonce: String,
    username: String,
    password: String,
    #[serde(default)]
    admin: bool,
    user_type: Option<String>,
    mac: String,
    #[serde(default)]
    inhibit_login: bool,
}

/// `POST /_synapse/admin/v1/register`
pub(crate) async fn register_with_shared_secret(
    Extension(app): Extension<App>,
    JsonBody(body): JsonBody<SharedSecretBody>,
) -> Result<Json<Value>, Error> {
    let session = (!body.inhibit_login).then(NewSession::default);
    let request = ProvenRequest {
        nonce: body.nonce,
        username: body.username,
        password: body.password,
        admin: body.admin,
        user_type: body.user_type,
        proof: body.mac,
    };
    let account = NewAccount { session, ..NewAccount::default() };
    let registered = app.services.shared_secret.register(request, account).await?;
    Ok(Json(Value::Object(register::answer(registered))))
}

impl From<SharedSecretError> for Error {
    fn from(error: SharedSecretError) -> Self {
        let bad = || web::Error::bad_request(ErrorKind::Unknown, error.to_string());
        match error {
            SharedSecretError::Disabled | SharedSecretError::UnknownNonce => bad().into(),
            SharedSecretError::Nul => web::Error::invalid_param(error.to_string()).into(),
            SharedSecretError::WrongProof => {
                let status = http::StatusCode::FORBIDDEN;
                web::Error::new(status, ErrorKind::Unknown, error.to_string()).into()
            }
            SharedSecretError::Register(error) => error.into(),
        }
    }
}

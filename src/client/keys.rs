//! `/keys`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#key-management-api>

use std::collections::BTreeMap;

use axum::Extension;
use bytes::Bytes;
use ruma::{OwnedUserId, api::client::keys::get_key_changes};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use services::{
    keys::{CrossSigningError, CrossSigningKeys, KeyError, KeyUpload, Refusal, SignatureFailure},
    sync::token::SyncToken,
};
use web::{ErrorKind, Json, JsonBody, Matrix};

use super::{caller::Caller, error::Error, uia};
use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct UploadBody {
    device_keys: Option<Map<String, Value>>,
    #[serde(default)]
    one_time_keys: Map<String, Value>,
    #[serde(default, alias = "org.matrix.msc2732.fallback_keys")]
    fallback_keys: Map<String, Value>,
}

/// `POST /_matrix/client/v3/keys/upload`
pub(crate) async fn upload_keys(
    Extension(app): Extension<App>,
    caller: Caller,
    JsonBody(body): JsonBody<UploadBody>,
) -> Result<Json<Value>, Error> {
    let UploadBody { device_keys, one_time_keys, fallback_keys } = body;
    let upload = KeyUpload { device_keys, one_time_keys, fallback_keys };
    let counts = app.services.keys.upload(&caller, upload).await?;
    Ok(Json(json!({ "one_time_key_counts": counts })))
}

#[derive(Deserialize)]
pub(crate) struct QueryBody {
    device_keys: BTreeMap<OwnedUserId, Vec<String>>,
}

/// `POST /_matrix/client/v3/keys/query`
pub(crate) async fn get_keys(
    Extension(app): Extension<App>,
    caller: Caller,
    JsonBody(body): JsonBody<QueryBody>,
) -> Result<Json<Value>, Error> {
    let found = app.services.keys.query(&caller, body.device_keys).await?;
    Ok(Json(json!({
        "device_keys": found.device_keys,
        "master_keys": found.master_keys,
        "self_signing_keys": found.self_signing_keys,
        "user_signing_keys": found.user_signing_keys,
        "failures": found.failures,
    })))
}

#[derive(Deserialize)]
pub(crate) struct ClaimBody {
    one_time_keys: BTreeMap<OwnedUserId, BTreeMap<String, String>>,
}

/// `POST /_matrix/client/v3/keys/claim`
pub(crate) async fn claim_keys(
    Extension(app): Extension<App>,
    _: Caller,
    JsonBody(body): JsonBody<ClaimBody>,
) -> Result<Json<Value>, Error> {
    let claimed = app.services.keys.claim(body.one_time_keys).await?;
    Ok(Json(json!({ "one_time_keys": claimed.one_time_keys, "failures": claimed.failures })))
}

#[derive(Deserialize)]
struct CrossSigningBody {
    master_key: Option<Map<String, Value>>,
    self_signing_key: Option<Map<String, Value>>,
    user_signing_key: Option<Map<String, Value>>,
}

/// `POST /_matrix/client/v3/keys/device_signing/upload`
pub(crate) async fn upload_signing_keys(
    Extension(app): Extension<App>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Value>, Error> {
    let keys: CrossSigningBody = web::json::decode(&body)?;
    let upload = CrossSigningKeys {
        master: keys.master_key,
        self_signing: keys.self_signing_key,
        user_signing: keys.user_signing_key,
    };
    if app.services.keys.replaces_cross_signing(&caller, &upload).await? {
        let endpoint = "POST /keys/device_signing/upload".to_owned();
        uia::prove_password_or_appservice(&app, &caller, endpoint, &body).await?;
    }
    app.services.keys.upload_cross_signing(&caller, upload).await?;
    Ok(Json(json!({})))
}

/// `GET /_matrix/client/v3/keys/changes`
pub(crate) async fn get_key_changes(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_key_changes::v3::Request>,
) -> Result<Json<Value>, Error> {
    let position = |token: &str| {
        let token = token.parse::<SyncToken>();
        token.map(|token| token.log).map_err(|error| web::Error::invalid_param(error.to_string()))
    };
    let span = (position(&request.from)?, position(&request.to)?);
    let changed = app.services.keys.changed(&caller, span).await?;
    Ok(Json(json!({ "changed": changed, "left": [] })))
}

/// user → device id or public key → signed object
type SignedObjects = BTreeMap<OwnedUserId, BTreeMap<String, Map<String, Value>>>;

/// `POST /_matrix/client/v3/keys/signatures/upload`
pub(crate) async fn upload_signatures(
    Extension(app): Extension<App>,
    caller: Caller,
    JsonBody(body): JsonBody<SignedObjects>,
) -> Result<Json<Value>, Error> {
    let objects = body.into_iter().flat_map(|(user, objects)| {
        objects.into_iter().map(move |(key, object)| (user.clone(), key, object))
    });
    let failures = app.services.keys.upload_signatures(&caller, objects.collect()).await?;
    Ok(Json(json!({ "failures": failed(failures) })))
}

fn failed(failures: Vec<SignatureFailure>) -> Value {
    let mut answer = json!({});
    for SignatureFailure { user, key, reason } in failures {
        let failure = match reason {
            Refusal::UnknownKey => {
                json!({ "errcode": "M_NOT_FOUND", "error": "There is no such key" })
            }
            Refusal::InvalidSignature => {
                json!({ "errcode": "M_INVALID_SIGNATURE", "error": "The signature is not valid" })
            }
        };
        if answer[user.as_str()].is_null() {
            answer[user.as_str()] = json!({});
        }
        answer[user.as_str()][key] = failure;
    }
    answer
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Malformed(_) => web::Error::bad_json(error.to_string()).into(),
            KeyError::NoDevice | KeyError::Conflict(_) => {
                web::Error::invalid_param(error.to_string()).into()
            }
            KeyError::TooMany => web::Error::too_large(error.to_string()).into(),
            KeyError::Read(error) => error.into(),
            KeyError::Commit(error) => error.into(),
        }
    }
}

impl From<CrossSigningError> for Error {
    fn from(error: CrossSigningError) -> Self {
        let bad = |kind| web::Error::bad_request(kind, error.to_string());
        match &error {
            CrossSigningError::Malformed(_) => bad(ErrorKind::InvalidParam).into(),
            CrossSigningError::NoMasterKey => bad(ErrorKind::MissingParam).into(),
            CrossSigningError::InvalidSignature => {
                // The library has no name for this code.
                bad(ErrorKind::InvalidParam).with("errcode", "M_INVALID_SIGNATURE").into()
            }
            CrossSigningError::Read(error) => error.clone().into(),
            CrossSigningError::Commit(error) => error.clone().into(),
        }
    }
}

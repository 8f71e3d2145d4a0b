//! Our users' devices and keys, for servers whose users write to them. Names of devices are not
//! told: they say more about a person than a stranger needs.

use std::collections::BTreeMap;

use axum::Extension;
use ruma::{OwnedUserId, UserId, api::federation::device::get_devices};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use services::keys::QueryAnswer;
use web::{Error, Json, JsonBody, Matrix};

use crate::{Federation, authorization::RemoteServer};

/// Users that one request may ask about.
const USERS_MAX: usize = 1_000;

#[derive(Deserialize)]
pub(crate) struct Query {
    device_keys: BTreeMap<OwnedUserId, Vec<String>>,
}

#[derive(Deserialize)]
pub(crate) struct Claim {
    one_time_keys: BTreeMap<OwnedUserId, BTreeMap<String, String>>,
}

/// `POST /_matrix/federation/v1/user/keys/query`
pub(crate) async fn get_keys(
    Extension(federation): Extension<Federation>,
    _: RemoteServer,
    JsonBody(Query { device_keys }): JsonBody<Query>,
) -> Result<Json<Value>, Error> {
    check_number(device_keys.len())?;
    let found = federation.services.keys.query_local(None, device_keys).await;
    let QueryAnswer { device_keys, master_keys, self_signing_keys, .. } =
        found.map_err(Error::internal)?;
    Ok(Json(json!({
        "device_keys": device_keys,
        "master_keys": master_keys,
        "self_signing_keys": self_signing_keys,
    })))
}

/// `POST /_matrix/federation/v1/user/keys/claim`
pub(crate) async fn claim_keys(
    Extension(federation): Extension<Federation>,
    _: RemoteServer,
    JsonBody(Claim { one_time_keys }): JsonBody<Claim>,
) -> Result<Json<Value>, Error> {
    check_number(one_time_keys.len())?;
    let claimed = federation.services.keys.claim_local(one_time_keys).await;
    Ok(Json(json!({ "one_time_keys": claimed.map_err(Error::internal)? })))
}

/// `GET /_matrix/federation/v1/user/devices/{userId}`
pub(crate) async fn get_devices(
    Extension(federation): Extension<Federation>,
    _: RemoteServer,
    Matrix(request): Matrix<get_devices::v1::Request>,
) -> Result<Json<Value>, Error> {
    let (keys, user) = (&federation.services.keys, request.user_id);
    let account = federation.services.accounts.find_user(&user).await;
    if account.map_err(Error::internal)?.is_none() {
        return Err(Error::not_found("There is no such user"));
    }
    // The version is read first: what changes in between is told again.
    let stream_id = keys.list_version(&user).await.map_err(Error::internal)?;
    let wanted = BTreeMap::from([(user.clone(), Vec::new())]);
    let found = keys.query_local(None, wanted).await.map_err(Error::internal)?;
    let mut answer = json!({
        "user_id": user,
        "stream_id": stream_id,
        "devices": devices(&found, &user),
    });
    for (field, keys) in
        [("master_key", &found.master_keys), ("self_signing_key", &found.self_signing_keys)]
    {
        if let Some(key) = keys.get(user.as_str()) {
            answer[field] = key.clone();
        }
    }
    Ok(Json(answer))
}

fn devices(found: &QueryAnswer, user: &UserId) -> Vec<Value> {
    let devices = found.device_keys.get(user.as_str()).and_then(Value::as_object);
    let devices = devices.into_iter().flatten();
    devices.map(|(device_id, keys)| json!({ "device_id": device_id, "keys": bare(keys) })).collect()
}

/// The keys without what this server added for clients.
fn bare(keys: &Value) -> Value {
    let mut keys: Map<String, Value> = keys.as_object().cloned().unwrap_or_default();
    keys.remove("unsigned");
    keys.into()
}

fn check_number(users: usize) -> Result<(), Error> {
    if users > USERS_MAX {
        return Err(Error::invalid_param("Too many users are asked about"));
    }
    Ok(())
}

//! `/devices`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#device-management>

use axum::Extension;
use ruma::api::client::device::{delete_device, delete_devices, get_device, update_device};
use serde_json::{Value, json};
use services::devices::{DeviceError, DeviceInfo};
use web::{Json, Matrix, MatrixWithBody};

use super::{caller::Caller, error::Error, uia};
use crate::app::App;

/// `GET /_matrix/client/v3/devices`
pub(crate) async fn get_devices(
    Extension(app): Extension<App>,
    caller: Caller,
) -> Result<Json<Value>, Error> {
    let devices = app.services.devices.list(caller.localpart()).await?;
    Ok(Json(json!({ "devices": devices.into_iter().map(answer).collect::<Vec<_>>() })))
}

/// `GET /_matrix/client/v3/devices/{deviceId}`
pub(crate) async fn get_device(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_device::v3::Request>,
) -> Result<Json<Value>, Error> {
    let device = app.services.devices.get(caller.localpart(), request.device_id.as_str()).await?;
    Ok(Json(answer(device.ok_or(DeviceError::UnknownDevice)?)))
}

/// `PUT /_matrix/client/v3/devices/{deviceId}`
pub(crate) async fn update_device(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<update_device::v3::Request>,
) -> Result<Json<Value>, Error> {
    let devices = &app.services.devices;
    match request.display_name {
        Some(_) => {
            devices.rename(&caller, request.device_id.as_str(), request.display_name).await?;
        }
        // "If not given, the display name is unchanged."
        None => {
            let device = devices.get(caller.localpart(), request.device_id.as_str()).await?;
            device.ok_or(DeviceError::UnknownDevice)?;
        }
    }
    Ok(Json(json!({})))
}

/// `DELETE /_matrix/client/v3/devices/{deviceId}`
pub(crate) async fn delete_device(
    Extension(app): Extension<App>,
    caller: Caller,
    MatrixWithBody(request, body): MatrixWithBody<delete_device::v3::Request>,
) -> Result<Json<Value>, Error> {
    let endpoint = uia::endpoint("DELETE /devices", request.device_id.as_str());
    uia::prove_password_or_appservice(&app, &caller, endpoint, &body).await?;
    app.services.devices.remove(&caller, vec![request.device_id.to_string()]).await?;
    Ok(Json(json!({})))
}

/// `POST /_matrix/client/v3/delete_devices`
pub(crate) async fn delete_devices(
    Extension(app): Extension<App>,
    caller: Caller,
    MatrixWithBody(request, body): MatrixWithBody<delete_devices::v3::Request>,
) -> Result<Json<Value>, Error> {
    uia::prove_password_or_appservice(&app, &caller, "POST /delete_devices".to_owned(), &body)
        .await?;
    let devices = request.devices.iter().map(|device| device.to_string()).collect();
    app.services.devices.remove(&caller, devices).await?;
    Ok(Json(json!({})))
}

fn answer(device: DeviceInfo) -> Value {
    let mut answer = json!({ "device_id": device.device_id });
    if let Some(name) = device.display_name {
        answer["display_name"] = name.into();
    }
    if let Some(seen) = device.last_seen {
        answer["last_seen_ts"] = seen.at_ms.into();
        if let Some(address) = seen.address {
            answer["last_seen_ip"] = address.into();
        }
    }
    answer
}

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::UnknownDevice => web::Error::not_found(error.to_string()).into(),
            DeviceError::LongName => web::Error::too_large(error.to_string()).into(),
            DeviceError::Read(error) => error.into(),
            DeviceError::Commit(error) => error.into(),
        }
    }
}

//! `PUT /sendToDevice/{eventType}/{txnId}`.

use axum::{Extension, extract::Path};
use serde::Deserialize;
use serde_json::{Value, json};
use services::to_device::{Messages, ToDeviceError};
use web::{Json, JsonBody};

use super::{caller::Caller, error::Error};
use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct Body {
    messages: Messages,
}

/// `PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}`
pub(crate) async fn send_event_to_device(
    Extension(app): Extension<App>,
    caller: Caller,
    Path((kind, transaction_id)): Path<(String, String)>,
    JsonBody(body): JsonBody<Body>,
) -> Result<Json<Value>, Error> {
    app.services.to_device.send(&caller, &kind, &transaction_id, body.messages).await?;
    Ok(Json(json!({})))
}

impl From<ToDeviceError> for Error {
    fn from(error: ToDeviceError) -> Self {
        match error {
            ToDeviceError::TooLarge | ToDeviceError::TooMany => {
                web::Error::too_large(error.to_string()).into()
            }
            ToDeviceError::Read(error) => error.into(),
            ToDeviceError::Commit(error) => error.into(),
        }
    }
}

//! Sending message events, state events and redactions.

use axum::extract::State;
use ruma::{
    OwnedEventId, OwnedRoomId,
    api::client::{
        message::send_message_event,
        redact::redact_event,
        state::send_state_event,
    },
};
use serde_json::{json, value::RawValue};
use services::{
    rooms::send::{NewEvent, Transaction},
    sessions::Caller,
};
use web::Matrix;

use super::error::Error;
use crate::app::App;

/// `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`
pub(crate) async fn send_message_event(
    State(app): State<App>,
    caller: Caller,
    Matrix(request): Matrix<send_message_event::v3::Request>,
) -> Result<Matrix<send_message_event::v3::Response>, Error> {
    let path = format!("send/{}/{}", request.room_id, request.event_type);
    let new = NewEvent {
        transaction: transaction(&caller, path, request.txn_id.as_str()),
        sender: caller.user_id,
        event_type: request.event_type.to_string(),
        state_key: None,
        content: request.body.into_json(),
        redacts: None,
        timestamp_ms: None,
    };
    let event_id = send(&app, &request.room_id, new).await?;
    Ok(Matrix(send_message_event::v3::Response { event_id }))
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
pub(crate) async fn send_state_event(
    State(app): State<App>,
    caller: Caller,
    Matrix(request): Matrix<send_state_event::v3::Request>,
) -> Result<Matrix<send_state_event::v3::Response>, Error> {
    let new = NewEvent {
        sender: caller.user_id,
        event_type: request.event_type.to_string(),
        state_key: Some(request.state_key),
        content: request.body.into_json(),
        redacts: None,
        timestamp_ms: None,
        transaction: None,
    };
    app.services.rooms.check_state(&new).await?;
    let event_id = send(&app, &request.room_id, new).await?;
    Ok(Matrix(send_state_event::v3::Response { event_id }))
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}`
pub(crate) async fn redact_event(
    State(app): State<App>,
    caller: Caller,
    Matrix(request): Matrix<redact_event::v3::Request>,
) -> Result<Matrix<redact_event::v3::Response>, Error> {
    let content = match &request.reason {
        Some(reason) => json!({ "reason": reason }),
        None => json!({}),
    };
    let path = format!("redact/{}/{}", request.room_id, request.event_id);
    let new = NewEvent {
        transaction: transaction(&caller, path, request.txn_id.as_str()),
        sender: caller.user_id,
        event_type: "m.room.redaction".to_owned(),
        state_key: None,
        content: raw(&content),
        redacts: Some(request.event_id),
        timestamp_ms: None,
    };
    let event_id = send(&app, &request.room_id, new).await?;
    Ok(Matrix(redact_event::v3::Response { event_id }))
}

async fn send(app: &App, room_id: &OwnedRoomId, new: NewEvent) -> Result<OwnedEventId, Error> {
    Ok(app.services.rooms.send(room_id, new).await?)
}

fn transaction(caller: &Caller, path: String, id: &str) -> Option<Transaction> {
    Some(Transaction {
        localpart: caller.localpart().to_owned(),
        device_id: caller.device().to_owned(),
        path,
        id: id.to_owned(),
    })
}

fn raw(content: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(content).expect("a JSON value is always JSON text")
}

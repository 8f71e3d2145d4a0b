//! Sending message events, state events and redactions.

use axum::{Extension, extract::Path};
use ruma::{
    OwnedEventId, OwnedRoomId, RoomId,
    api::client::{message::send_message_event, redact::redact_event},
};
use serde_json::{Map, Value, json, value::RawValue};
use services::rooms::send::{NewEvent, Transaction};
use web::{Json, JsonBody, Matrix};

use super::{appservice::WantedTime, caller::Caller, error::Error};
use crate::app::{Act, App};

/// `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`
pub(crate) async fn send_message_event(
    Extension(app): Extension<App>,
    caller: Caller,
    time: WantedTime,
    Matrix(request): Matrix<send_message_event::v3::Request>,
) -> Result<Matrix<send_message_event::v3::Response>, Error> {
    caller.must_not_be_suspended()?;
    let path = format!("send/{}/{}", request.room_id, request.event_type);
    let new = NewEvent {
        transaction: transaction(&caller, path, request.txn_id.as_str()),
        sender: caller.user_id.clone(),
        event_type: request.event_type.to_string(),
        state_key: None,
        content: request.body.into_json(),
        redacts: None,
        timestamp_ms: time.granted(&caller),
    };
    let event_id = send(&app, &caller, &request.room_id, new).await?;
    Ok(Matrix(send_message_event::v3::Response { event_id }))
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
pub(crate) async fn send_state_event(
    Extension(app): Extension<App>,
    caller: Caller,
    time: WantedTime,
    Path((room_id, event_type, state_key)): Path<(String, String, String)>,
    JsonBody(content): JsonBody<Map<String, Value>>,
) -> Result<Json<Value>, Error> {
    let new = NewState {
        room_id: RoomId::parse(room_id).map_err(invalid)?,
        place: (event_type, state_key),
        content,
        time,
    };
    let event_id = send_state(&app, &caller, new).await?;
    Ok(Json(json!({ "event_id": event_id })))
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}`: the state key is empty.
pub(crate) async fn send_state_event_without_key(
    Extension(app): Extension<App>,
    caller: Caller,
    time: WantedTime,
    Path((room_id, event_type)): Path<(String, String)>,
    JsonBody(content): JsonBody<Map<String, Value>>,
) -> Result<Json<Value>, Error> {
    let new = NewState {
        room_id: RoomId::parse(room_id).map_err(invalid)?,
        place: (event_type, String::new()),
        content,
        time,
    };
    let event_id = send_state(&app, &caller, new).await?;
    Ok(Json(json!({ "event_id": event_id })))
}

/// A state event that a client wants.
struct NewState {
    room_id: OwnedRoomId,
    /// Type and state key.
    place: (String, String),
    content: Map<String, Value>,
    time: WantedTime,
}

async fn send_state(app: &App, caller: &Caller, new: NewState) -> Result<OwnedEventId, Error> {
    let NewState { room_id, place: (event_type, state_key), mut content, time } = new;
    caller.must_not_be_suspended()?;
    if event_type == "m.room.member" {
        // Servers say who vouches for a join, not clients.
        content.remove("join_authorised_via_users_server");
    }
    app.limits.act(caller, Act::Message)?;
    let rooms = &app.services.rooms;
    if event_type == "m.room.canonical_alias" {
        rooms.check_canonical_alias(&room_id, &content).await?;
    }
    let content = Value::Object(content);
    let new = NewEvent {
        sender: caller.user_id.clone(),
        event_type,
        state_key: Some(state_key),
        content: raw(&content),
        redacts: None,
        timestamp_ms: time.granted(caller),
        transaction: None,
    };
    Ok(rooms.send(&room_id, new).await?)
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}`
pub(crate) async fn redact_event(
    Extension(app): Extension<App>,
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
        sender: caller.user_id.clone(),
        event_type: "m.room.redaction".to_owned(),
        state_key: None,
        content: raw(&content),
        redacts: Some(request.event_id),
        timestamp_ms: None,
    };
    let event_id = send(&app, &caller, &request.room_id, new).await?;
    Ok(Matrix(redact_event::v3::Response { event_id }))
}

async fn send(
    app: &App,
    caller: &Caller,
    room_id: &OwnedRoomId,
    new: NewEvent,
) -> Result<OwnedEventId, Error> {
    app.limits.act(caller, Act::Message)?;
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

fn invalid(error: ruma::IdParseError) -> web::Error {
    web::Error::invalid_param(error.to_string())
}

#[cfg(test)]
mod tests;

//! Receipts.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#receipts>

use axum::{Extension, extract::Path};
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId};
use serde_json::{Map, Value, json};
use services::{
    read_markers::Markers,
    receipts::{Kind, ReceiptError, Thread},
};
use web::{Json, JsonBody};

use super::{caller::Caller, error::Error};
use crate::app::App;

#[cfg(test)]
mod tests;

/// `POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}`
pub(crate) async fn create_receipt(
    Extension(app): Extension<App>,
    caller: Caller,
    Path((room_id, kind, event_id)): Path<(String, String, String)>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Json<Value>, Error> {
    let (room_id, event_id) = ids(&room_id, &event_id)?;
    let thread = thread(&body)?;
    let kind = match kind.as_str() {
        "m.read" => Kind::Public,
        "m.read.private" => Kind::Private,
        // "this endpoint effectively calls `/read_markers` internally"
        "m.fully_read" if thread == Thread::Unthreaded => {
            let markers = Markers { fully_read: Some(event_id), ..Markers::default() };
            app.services.read_markers.set(&caller.user_id, &room_id, markers).await?;
            return Ok(Json(json!({})));
        }
        "m.fully_read" => {
            return Err(web::Error::invalid_param("m.fully_read knows no threads").into());
        }
        _ => return Err(web::Error::invalid_param("Unknown receipt type").into()),
    };
    app.services.receipts.set(&caller.user_id, &room_id, (kind, thread), &event_id).await?;
    Ok(Json(json!({})))
}

fn ids(room_id: &str, event_id: &str) -> Result<(OwnedRoomId, OwnedEventId), Error> {
    let room_id = RoomId::parse(room_id).map_err(|_| web::Error::invalid_param("No room ID"))?;
    let event_id =
        EventId::parse(event_id).map_err(|_| web::Error::invalid_param("No event ID"))?;
    Ok((room_id.to_owned(), event_id.to_owned()))
}

fn thread(body: &Map<String, Value>) -> Result<Thread, Error> {
    let thread = match body.get("thread_id") {
        None | Some(Value::Null) => return Ok(Thread::Unthreaded),
        Some(Value::String(thread)) => Thread::parse(thread),
        Some(_) => None,
    };
    thread.ok_or_else(|| {
        web::Error::invalid_param("thread_id must be \"main\" or the ID of an event").into()
    })
}

impl From<ReceiptError> for Error {
    fn from(error: ReceiptError) -> Self {
        match error {
            ReceiptError::NotJoined => web::Error::forbidden("You are not in that room").into(),
            ReceiptError::UnknownEvent => {
                web::Error::not_found("There is no such event in that room").into()
            }
            ReceiptError::NotInThread => {
                web::Error::invalid_param("The event is not in that thread").into()
            }
            ReceiptError::Store(error) => error.into(),
            ReceiptError::Commit(error) => error.into(),
        }
    }
}

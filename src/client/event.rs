//! `GET /rooms/{roomId}/event/{eventId}` and `/context/{eventId}`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid>

use axum::Extension;
use ruma::{OwnedEventId, OwnedRoomId, api::client::room::get_room_event};
use serde::Deserialize;
use serde_json::value::RawValue;
use services::timeline::{ContextQuery, Surroundings};
use web::{Json, Matrix};

use super::{
    asked::{Asked, event_filter, reader},
    caller::Caller,
    error::Error,
};
use crate::app::App;

/// `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`
pub(crate) async fn get_room_event(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_room_event::v3::Request>,
) -> Result<Json<Box<RawValue>>, Error> {
    let timelines = &app.services.timelines;
    let event = timelines.event(reader(&caller), request.room_id, request.event_id).await?;
    Ok(Json(event.ok_or_else(|| web::Error::not_found("The event was not found"))?))
}

#[derive(Deserialize)]
pub(crate) struct ContextParameters {
    limit: Option<u64>,
    filter: Option<String>,
}

/// `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}`
pub(crate) async fn get_context(
    Extension(app): Extension<App>,
    caller: Caller,
    Asked((room_id, event_id), parameters): Asked<(OwnedRoomId, OwnedEventId), ContextParameters>,
) -> Result<Json<Surroundings>, Error> {
    let filter = event_filter(parameters.filter.as_deref())?;
    let query = ContextQuery { room_id, event_id, limit: parameters.limit, filter };
    Ok(Json(app.services.timelines.surroundings(reader(&caller), query).await?))
}

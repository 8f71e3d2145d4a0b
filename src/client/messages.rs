//! `GET /rooms/{roomId}/messages` and `/timestamp_to_event`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room>

use axum::Extension;
use ruma::{OwnedRoomId, api::Direction};
use serde::Deserialize;
use services::{
    rooms::join::JoinError,
    timeline::{EventAtTime, Messages, MessagesQuery},
};
use web::Json;

use super::{
    asked::{Asked, direction, event_filter, reader},
    caller::Caller,
    error::Error,
};
use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct MessagesParameters {
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    dir: Direction,
    limit: Option<u64>,
    filter: Option<String>,
}

/// `GET /_matrix/client/v3/rooms/{roomId}/messages`
pub(crate) async fn get_message_events(
    Extension(app): Extension<App>,
    caller: Caller,
    Asked(room_id, parameters): Asked<OwnedRoomId, MessagesParameters>,
) -> Result<Json<Messages>, Error> {
    let token = |token: Option<String>| token.filter(|token| !token.is_empty());
    let query = MessagesQuery {
        room_id,
        from: token(parameters.from),
        to: token(parameters.to),
        direction: direction(parameters.dir),
        limit: parameters.limit,
        filter: event_filter(parameters.filter.as_deref())?,
    };
    let timelines = &app.services.timelines;
    let page = timelines.messages(reader(&caller), query.clone()).await?;
    if !page.has_gap || !has_more_elsewhere(&app, &query).await {
        return Ok(Json(page));
    }
    Ok(Json(timelines.messages(reader(&caller), query).await?))
}

/// Fetches older history from other servers of the room, as far as they have any.
async fn has_more_elsewhere(app: &App, query: &MessagesQuery) -> bool {
    let rooms = &app.services.rooms;
    let Ok(Some(room)) = rooms.find(&query.room_id).await else { return false };
    match rooms.backfill(&room).await {
        Ok(added) => added > 0,
        Err(error) => {
            tracing::info!(room_id = %query.room_id, %error, "no older history was fetched");
            false
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct TimeParameters {
    ts: u64,
    dir: Direction,
}

/// `GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event`
pub(crate) async fn get_event_by_timestamp(
    Extension(app): Extension<App>,
    caller: Caller,
    Asked(room_id, parameters): Asked<OwnedRoomId, TimeParameters>,
) -> Result<Json<EventAtTime>, Error> {
    let TimeParameters { ts, dir } = parameters;
    let timelines = &app.services.timelines;
    let find = || timelines.event_at_time(reader(&caller), room_id.clone(), ts, direction(dir));
    let mut found = find().await?;
    if found.as_ref().is_none_or(|found| found.may_be_nearer) {
        let rooms = &app.services.rooms;
        let fetched = rooms.backfill_to(&room_id, ts, direction(dir)).await;
        if fetched.map_err(JoinError::from)? {
            found = find().await?;
        }
    }
    let found = found.ok_or_else(|| {
        let way = if dir == Direction::Forward { "forward" } else { "backward" };
        web::Error::not_found(format!("Unable to find event from {ts} in {way} direction"))
    })?;
    Ok(Json(found))
}

//! The list of published rooms.

use axum::Extension;
use ruma::{
    UInt,
    api::client::{
        directory::{
            get_public_rooms, get_public_rooms_filtered, get_room_visibility, set_room_visibility,
        },
        room::Visibility,
    },
    directory::{PublicRoomsChunk, RoomNetwork},
};
use serde::Serialize;
use serde_json::{Map, Value};
use services::rooms::public::Wanted;
use web::{Json, Matrix};

use super::{caller::Caller, error::Error};
use crate::app::App;

/// Rooms of a page, when the client does not say, and at most.
const PAGE_ROOMS: usize = 50;
const PAGE_ROOMS_MAX: usize = 500;

#[derive(Serialize)]
pub(crate) struct Page {
    chunk: Vec<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_room_count_estimate: Option<UInt>,
}

/// `GET /_matrix/client/v3/publicRooms`
pub(crate) async fn get_public_rooms(
    Extension(app): Extension<App>,
    Matrix(request): Matrix<get_public_rooms::v3::Request>,
) -> Result<Json<Page>, Error> {
    let wanted = Wanted {
        limit: limit(request.limit),
        since: request.since,
        search: None,
        room_types: Vec::new(),
    };
    page(&app, request.server, wanted).await
}

/// `POST /_matrix/client/v3/publicRooms`
pub(crate) async fn get_public_rooms_filtered(
    Extension(app): Extension<App>,
    _caller: Caller,
    Matrix(request): Matrix<get_public_rooms_filtered::v3::Request>,
) -> Result<Json<Page>, Error> {
    // Rooms of third-party networks would come from appservices; there are none.
    let _: RoomNetwork = request.room_network;
    let wanted = Wanted {
        limit: limit(request.limit),
        since: request.since,
        search: request.filter.generic_search_term,
        room_types: request.filter.room_types,
    };
    page(&app, request.server, wanted).await
}

/// `GET /_matrix/client/v3/directory/list/room/{roomId}`
pub(crate) async fn get_room_visibility(
    Extension(app): Extension<App>,
    Matrix(request): Matrix<get_room_visibility::v3::Request>,
) -> Result<Matrix<get_room_visibility::v3::Response>, Error> {
    if app.services.rooms.find(&request.room_id).await?.is_none() {
        return Err(web::Error::not_found("There is no such room").into());
    }
    let published = app.services.rooms.is_published(&request.room_id).await?;
    let visibility = if published { Visibility::Public } else { Visibility::Private };
    Ok(Matrix(get_room_visibility::v3::Response { visibility }))
}

/// `PUT /_matrix/client/v3/directory/list/room/{roomId}`
pub(crate) async fn set_room_visibility(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<set_room_visibility::v3::Request>,
) -> Result<Matrix<set_room_visibility::v3::Response>, Error> {
    let published = request.visibility == Visibility::Public;
    let rooms = &app.services.rooms;
    if rooms.find(&request.room_id).await?.is_none() {
        return Err(web::Error::not_found("There is no such room").into());
    }
    rooms.set_published(&request.room_id, &caller.user_id, published).await?;
    Ok(Matrix(set_room_visibility::v3::Response::new()))
}

/// A page of our directory, or of another server's.
async fn page(
    app: &App,
    server: Option<ruma::OwnedServerName>,
    wanted: Wanted,
) -> Result<Json<Page>, Error> {
    let rooms = &app.services.rooms;
    let page = match server {
        Some(server) if server != app.server_name => rooms.public_rooms_of(&server, wanted).await?,
        _ => rooms.public_rooms(wanted).await?,
    };
    Ok(Json(Page {
        chunk: page.chunk.into_iter().filter_map(|room| shown(&room)).collect(),
        next_batch: page.next_batch,
        prev_batch: page.prev_batch,
        total_room_count_estimate: page.total,
    }))
}

/// A room of the list. ruma leaves out the join rule of those that anybody may join.
fn shown(room: &PublicRoomsChunk) -> Option<Map<String, Value>> {
    let Ok(Value::Object(mut shown)) = serde_json::to_value(room) else { return None };
    shown.entry("join_rule").or_insert_with(|| room.join_rule.as_str().into());
    Some(shown)
}

fn limit(asked: Option<UInt>) -> usize {
    let asked = asked.and_then(|limit| usize::try_from(u64::from(limit)).ok());
    asked.unwrap_or(PAGE_ROOMS).min(PAGE_ROOMS_MAX)
}

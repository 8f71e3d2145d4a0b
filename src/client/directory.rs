//! The list of published rooms.

use axum::extract::State;
use ruma::{
    UInt,
    api::client::{
        directory::{
            get_public_rooms, get_public_rooms_filtered, get_room_visibility, set_room_visibility,
        },
        room::Visibility,
    },
    directory::RoomNetwork,
};
use services::rooms::public::{PublicRooms, Wanted};
use web::Matrix;

use super::{caller::Caller, error::Error};
use crate::app::App;

/// Rooms of a page, when the client does not say, and at most.
const PAGE_ROOMS: usize = 50;
const PAGE_ROOMS_MAX: usize = 500;

/// `GET /_matrix/client/v3/publicRooms`
pub(crate) async fn get_public_rooms(
    State(app): State<App>,
    Matrix(request): Matrix<get_public_rooms::v3::Request>,
) -> Result<Matrix<get_public_rooms::v3::Response>, Error> {
    let wanted = Wanted {
        limit: limit(request.limit),
        since: request.since,
        search: None,
        room_types: Vec::new(),
    };
    let page = page(&app, request.server, wanted).await?;
    Ok(Matrix(get_public_rooms::v3::Response {
        chunk: page.chunk,
        next_batch: page.next_batch,
        prev_batch: page.prev_batch,
        total_room_count_estimate: page.total,
    }))
}

/// `POST /_matrix/client/v3/publicRooms`
pub(crate) async fn get_public_rooms_filtered(
    State(app): State<App>,
    _caller: Caller,
    Matrix(request): Matrix<get_public_rooms_filtered::v3::Request>,
) -> Result<Matrix<get_public_rooms_filtered::v3::Response>, Error> {
    // Rooms of third-party networks would come from appservices; there are none.
    let _: RoomNetwork = request.room_network;
    let wanted = Wanted {
        limit: limit(request.limit),
        since: request.since,
        search: request.filter.generic_search_term,
        room_types: request.filter.room_types,
    };
    let page = page(&app, request.server, wanted).await?;
    Ok(Matrix(get_public_rooms_filtered::v3::Response {
        chunk: page.chunk,
        next_batch: page.next_batch,
        prev_batch: page.prev_batch,
        total_room_count_estimate: page.total,
    }))
}

/// `GET /_matrix/client/v3/directory/list/room/{roomId}`
pub(crate) async fn get_room_visibility(
    State(app): State<App>,
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
    State(app): State<App>,
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
) -> Result<PublicRooms, Error> {
    let rooms = &app.services.rooms;
    Ok(match server {
        Some(server) if server != app.server_name => rooms.public_rooms_of(&server, wanted).await?,
        _ => rooms.public_rooms(wanted).await?,
    })
}

fn limit(asked: Option<UInt>) -> usize {
    let asked = asked.and_then(|limit| usize::try_from(u64::from(limit)).ok());
    asked.unwrap_or(PAGE_ROOMS).min(PAGE_ROOMS_MAX)
}

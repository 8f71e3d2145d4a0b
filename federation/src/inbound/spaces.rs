//! The rooms of a space, for servers whose users may see them.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#spaces>

use axum::Extension;
use ruma::api::federation::space::get_hierarchy;
use services::rooms::spaces::Level;
use web::{Error, Json, Matrix};

use crate::{Federation, authorization::RemoteServer, grants::RoomWriteGrant};

/// `GET /_matrix/federation/v1/hierarchy/{roomId}`
pub(crate) async fn get_hierarchy(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<get_hierarchy::v1::Request>,
) -> Result<Json<Level>, Error> {
    let unknown = || Error::not_found("There is no such room, or your users may not see it");
    let grant = RoomWriteGrant::check(&federation, &remote, &request.room_id).await;
    let grant = grant.map_err(|_| unknown())?;
    let (rooms, room_id) = (&federation.services.rooms, &grant.room().id);
    let level = rooms.level_for(remote.name(), room_id, request.suggested_only).await;
    Ok(Json(level.map_err(Error::internal)?.ok_or_else(unknown)?))
}

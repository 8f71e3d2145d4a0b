//! `POST /rooms/{roomId}/upgrade`, and what users keep when a room is replaced.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#room-upgrades>

use axum::Extension;
use model::room_version::{RoomVersion, UnsupportedRoomVersion};
use ruma::{RoomId, api::client::room::upgrade_room};
use services::rooms::{WriteError, upgrade::Upgrade};
use web::{ErrorKind, Matrix};

use super::{caller::Caller, error::Error};
use crate::app::{Act, App};

/// `POST /_matrix/client/v3/rooms/{roomId}/upgrade`
pub(crate) async fn upgrade_room(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<upgrade_room::v3::Request>,
) -> Result<Matrix<upgrade_room::v3::Response>, Error> {
    caller.must_not_be_suspended()?;
    app.limits.act(&caller, Act::Join)?;
    let version: RoomVersion =
        request.new_version.as_str().parse().map_err(|error: UnsupportedRoomVersion| {
            web::Error::bad_request(ErrorKind::UnsupportedRoomVersion, error.to_string())
        })?;
    let rooms = &app.services.rooms;
    rooms.get(&request.room_id).await.map_err(|error| match error {
        WriteError::UnknownRoom => web::Error::not_found("There is no such room").into(),
        error => Error::from(error),
    })?;
    let upgrade = Upgrade {
        room_id: request.room_id,
        version,
        user: caller.user_id.clone(),
        additional_creators: request.additional_creators,
    };
    let replacement_room = rooms.upgrade(upgrade).await?;
    carry_over(&app, &caller, &replacement_room).await;
    Ok(Matrix(upgrade_room::v3::Response { replacement_room }))
}

/// Lets the caller, who has come into the room, keep what he had set for the one that it replaces.
/// He is in the room in any case.
pub(super) async fn carry_over(app: &App, caller: &Caller, room_id: &RoomId) {
    if let Err(error) = app.services.succession.carry_over(caller, room_id).await {
        tracing::warn!(%room_id, %error, "what a user had set for a replaced room is not kept");
    }
}

#[cfg(test)]
mod tests;

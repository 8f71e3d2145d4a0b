//! Aliases: names under which rooms are found.

use axum::Extension;
use ruma::{
    RoomAliasId,
    api::client::{
        alias::{create_alias, delete_alias, get_alias},
        room::aliases,
    },
};
use services::rooms::WriteError;
use web::{ErrorKind, Matrix};

use super::{appservice::may_make_alias, caller::Caller, error::Error};
use crate::app::App;

/// `PUT /_matrix/client/v3/directory/room/{roomAlias}`
pub(crate) async fn create_alias(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<create_alias::v3::Request>,
) -> Result<Matrix<create_alias::v3::Response>, Error> {
    require_local(&app, &request.room_alias)?;
    may_make_alias(&app, &caller, &request.room_alias)?;
    let rooms = &app.services.rooms;
    if rooms.local_alias(&request.room_alias).await?.is_some() {
        let message = "The alias is taken";
        return Err(web::Error::new(http::StatusCode::CONFLICT, ErrorKind::Unknown, message).into());
    }
    rooms.add_alias(request.room_alias, &request.room_id, &caller.user_id).await?;
    Ok(Matrix(create_alias::v3::Response::new()))
}

/// `DELETE /_matrix/client/v3/directory/room/{roomAlias}`
pub(crate) async fn delete_alias(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<delete_alias::v3::Request>,
) -> Result<Matrix<delete_alias::v3::Response>, Error> {
    require_local(&app, &request.room_alias)?;
    let rooms = &app.services.rooms;
    if rooms.local_alias(&request.room_alias).await?.is_none() {
        return Err(not_found());
    }
    rooms.remove_alias(request.room_alias, &caller.user_id).await?;
    Ok(Matrix(delete_alias::v3::Response::new()))
}

/// `GET /_matrix/client/v3/directory/room/{roomAlias}`
pub(crate) async fn get_alias(
    Extension(app): Extension<App>,
    Matrix(request): Matrix<get_alias::v3::Request>,
) -> Result<Matrix<get_alias::v3::Response>, Error> {
    let found = app.services.rooms.resolve_alias(&request.room_alias).await?;
    let (room_id, servers) = found.ok_or_else(not_found)?;
    Ok(Matrix(get_alias::v3::Response { room_id, servers }))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/aliases`
pub(crate) async fn aliases(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<aliases::v3::Request>,
) -> Result<Matrix<aliases::v3::Response>, Error> {
    let rooms = &app.services.rooms;
    if !rooms.may_look_into(&request.room_id, &caller.user_id).await? {
        return Err(WriteError::NotJoined.into());
    }
    let aliases = rooms.aliases(&request.room_id).await?;
    Ok(Matrix(aliases::v3::Response { aliases }))
}

fn require_local(app: &App, alias: &RoomAliasId) -> Result<(), Error> {
    if alias.server_name() == app.server_name {
        return Ok(());
    }
    Err(web::Error::invalid_param("The alias is not of this homeserver").into())
}

fn not_found() -> Error {
    web::Error::not_found("There is no such alias").into()
}

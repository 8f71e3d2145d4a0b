//! Questions about our users and aliases.

use axum::Extension;
use ruma::{
    OwnedServerName,
    api::federation::query::{get_profile_information, get_room_information},
};
use serde_json::{Map, Value};
use services::rooms::Room;
use web::{Error, Json, Matrix};

use crate::{Federation, authorization::RemoteServer, inbound::errors};

/// Servers that an alias's answer names at most.
const SERVERS_MAX: usize = 50;

/// `GET /_matrix/federation/v1/query/profile`
pub(crate) async fn get_profile_information(
    Extension(federation): Extension<Federation>,
    _: RemoteServer,
    Matrix(request): Matrix<get_profile_information::v1::Request>,
) -> Result<Json<Map<String, Value>>, Error> {
    if !federation.context().is_local(&request.user_id) {
        return Err(Error::invalid_param("The user is of another server"));
    }
    let profile = federation.services.profiles.get(&request.user_id).await;
    let profile = profile.map_err(Error::internal)?;
    let profile = profile.ok_or_else(|| Error::not_found("There is no such user"))?;
    let wanted = |name: &String| match &request.field {
        Some(field) => name == field.as_str(),
        None => true,
    };
    Ok(Json(profile.into_iter().filter(|(name, _)| wanted(name)).collect()))
}

/// `GET /_matrix/federation/v1/query/directory`
pub(crate) async fn get_room_information(
    Extension(federation): Extension<Federation>,
    _: RemoteServer,
    Matrix(request): Matrix<get_room_information::v1::Request>,
) -> Result<Matrix<get_room_information::v1::Response>, Error> {
    let rooms = &federation.services.rooms;
    let unknown = || Error::not_found("There is no such alias");
    if request.room_alias.server_name() != federation.context().server_name {
        return Err(unknown());
    }
    let found = rooms.local_alias(&request.room_alias).await.map_err(Error::internal)?;
    let room_id = found.ok_or_else(unknown)?;
    let room = rooms.find(&room_id).await.map_err(errors::write)?.ok_or_else(unknown)?;
    let servers = servers(&federation, &room).await?;
    Ok(Matrix(get_room_information::v1::Response { room_id, servers }))
}

/// We first: we certainly answer.
async fn servers(federation: &Federation, room: &Room) -> Result<Vec<OwnedServerName>, Error> {
    let others = federation.sender.destinations().in_room(room.number).await;
    let mut servers = vec![federation.context().server_name.clone()];
    servers.extend(others.map_err(Error::internal)?.into_iter().take(SERVERS_MAX));
    Ok(servers)
}

/// `GET /_matrix/federation/v1/query/{queryType}`: there are no types that we know but those with
/// endpoints of their own.
pub(crate) async fn get_custom_information(_: RemoteServer) -> Error {
    Error::not_found("There is no such query")
}

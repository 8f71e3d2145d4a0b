//! Joining, inviting, leaving, kicking, banning, knocking, forgetting.

use axum::Extension;
use ruma::{
    OwnedRoomId, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId, RoomAliasId, RoomId,
    api::client::{
        knock::knock_room,
        membership::{
            ban_user, forget_room,
            invite_user::{
                self,
                v3::{InvitationRecipient, InviteUserId},
            },
            join_room_by_id, join_room_by_id_or_alias, kick_user, leave_room, unban_user,
        },
    },
    events::room::member::MembershipState,
};
use serde_json::{Map, Value};
use services::rooms::{
    WriteError,
    join::{JoinError, Joining},
    membership::NewMembership,
};
use web::{ErrorKind, Matrix, MatrixWithBody};

use super::{caller::Caller, error::Error, upgrade::carry_over};
use crate::app::{Act, App};

/// `POST /_matrix/client/v3/rooms/{roomId}/join`
pub(crate) async fn join_room_by_id(
    Extension(app): Extension<App>,
    caller: Caller,
    MatrixWithBody(request, body): MatrixWithBody<join_room_by_id::v3::Request>,
) -> Result<Matrix<join_room_by_id::v3::Response>, Error> {
    let content = content(&app, &caller, &body).await?;
    let room_id = join(&app, caller, request.room_id, Vec::new(), content).await?;
    Ok(Matrix(join_room_by_id::v3::Response { room_id }))
}

/// `POST /_matrix/client/v3/join/{roomIdOrAlias}`
pub(crate) async fn join_room_by_id_or_alias(
    Extension(app): Extension<App>,
    caller: Caller,
    MatrixWithBody(request, body): MatrixWithBody<join_room_by_id_or_alias::v3::Request>,
) -> Result<Matrix<join_room_by_id_or_alias::v3::Response>, Error> {
    let (room_id, via) = find(&app, request.room_id_or_alias, request.via).await?;
    let content = content(&app, &caller, &body).await?;
    let room_id = join(&app, caller, room_id, via, content).await?;
    Ok(Matrix(join_room_by_id_or_alias::v3::Response { room_id }))
}

/// `POST /_matrix/client/v3/knock/{roomIdOrAlias}`
pub(crate) async fn knock_room(
    Extension(app): Extension<App>,
    caller: Caller,
    MatrixWithBody(request, body): MatrixWithBody<knock_room::v3::Request>,
) -> Result<Matrix<knock_room::v3::Response>, Error> {
    caller.must_not_be_suspended()?;
    app.limits.act(&caller, Act::Join)?;
    let (room_id, via) = find(&app, request.room_id_or_alias, request.via).await?;
    let content = content(&app, &caller, &body).await?;
    let user = caller.user_id.clone();
    let knocking = Joining { user, room_id: room_id.clone(), via, content };
    app.services.rooms.knock(knocking).await?;
    Ok(Matrix(knock_room::v3::Response { room_id }))
}

/// `POST /_matrix/client/v3/rooms/{roomId}/leave`
pub(crate) async fn leave_room(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<leave_room::v3::Request>,
) -> Result<Matrix<leave_room::v3::Response>, Error> {
    let mut content = Map::new();
    content.extend(request.reason.map(|reason| ("reason".to_owned(), reason.into())));
    let user = caller.user_id.clone();
    let leaving = Joining { user, room_id: request.room_id, via: Vec::new(), content };
    match app.services.rooms.leave(leaving).await {
        Ok(()) => Ok(Matrix(leave_room::v3::Response::new())),
        Err(JoinError::Write(WriteError::UnknownRoom)) => {
            Err(web::Error::not_found("There is no such room").into())
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /_matrix/client/v3/rooms/{roomId}/forget`
pub(crate) async fn forget_room(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<forget_room::v3::Request>,
) -> Result<Matrix<forget_room::v3::Response>, Error> {
    app.services.rooms.forget(&request.room_id, &caller.user_id).await?;
    Ok(Matrix(forget_room::v3::Response::new()))
}

/// `POST /_matrix/client/v3/rooms/{roomId}/invite`
pub(crate) async fn invite_user(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<invite_user::v3::Request>,
) -> Result<Matrix<invite_user::v3::Response>, Error> {
    let InvitationRecipient::UserId(InviteUserId { user_id, reason }) = request.recipient else {
        let message = "Invitations go to Matrix ids: there is no identity server";
        return Err(web::Error::bad_request(ErrorKind::ThreepidDenied, message).into());
    };
    caller.must_not_be_suspended()?;
    app.limits.act(&caller, Act::Invite)?;
    let new = change(&caller, user_id, MembershipState::Invite, reason);
    app.services.rooms.invite(&request.room_id, new).await?;
    Ok(Matrix(invite_user::v3::Response::new()))
}

/// `POST /_matrix/client/v3/rooms/{roomId}/kick`
pub(crate) async fn kick_user(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<kick_user::v3::Request>,
) -> Result<Matrix<kick_user::v3::Response>, Error> {
    caller.must_not_be_suspended()?;
    let new = change(&caller, request.user_id, MembershipState::Leave, request.reason);
    app.services.rooms.kick(&request.room_id, new).await?;
    Ok(Matrix(kick_user::v3::Response::new()))
}

/// `POST /_matrix/client/v3/rooms/{roomId}/ban`
pub(crate) async fn ban_user(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<ban_user::v3::Request>,
) -> Result<Matrix<ban_user::v3::Response>, Error> {
    caller.must_not_be_suspended()?;
    let new = change(&caller, request.user_id, MembershipState::Ban, request.reason);
    app.services.rooms.set_membership(&request.room_id, new).await?;
    Ok(Matrix(ban_user::v3::Response::new()))
}

/// `POST /_matrix/client/v3/rooms/{roomId}/unban`
pub(crate) async fn unban_user(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<unban_user::v3::Request>,
) -> Result<Matrix<unban_user::v3::Response>, Error> {
    caller.must_not_be_suspended()?;
    let new = change(&caller, request.user_id, MembershipState::Leave, request.reason);
    app.services.rooms.unban(&request.room_id, new).await?;
    Ok(Matrix(unban_user::v3::Response::new()))
}

fn change(
    caller: &Caller,
    target: OwnedUserId,
    membership: MembershipState,
    reason: Option<String>,
) -> NewMembership {
    let mut content = Map::new();
    content.extend(reason.map(|reason| ("reason".to_owned(), reason.into())));
    NewMembership { sender: caller.user_id.clone(), target, membership, content }
}

async fn join(
    app: &App,
    caller: Caller,
    room_id: OwnedRoomId,
    via: Vec<OwnedServerName>,
    content: Map<String, Value>,
) -> Result<OwnedRoomId, Error> {
    caller.must_not_be_suspended()?;
    app.limits.act(&caller, Act::Join)?;
    let joining = Joining { user: caller.user_id.clone(), room_id: room_id.clone(), via, content };
    app.services.rooms.join(joining).await?;
    carry_over(app, &caller, &room_id).await;
    Ok(room_id)
}

/// The caller's profile, as member events carry it, and what the client says besides: the reason,
/// and whatever else it wants to be known. Whether he may join is not for it to say.
async fn content(app: &App, caller: &Caller, body: &[u8]) -> Result<Map<String, Value>, Error> {
    let said: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let mut content = app.services.rooms.profile_of(&caller.user_id).await?;
    for (key, value) in said {
        if !NOT_SAID_BY_CLIENTS.contains(&key.as_str()) {
            content.entry(key).or_insert(value);
        }
    }
    Ok(content)
}

/// Keys of a request that are no part of the member event, or are decided by servers.
const NOT_SAID_BY_CLIENTS: [&str; 5] = [
    "join_authorised_via_users_server",
    "membership",
    "third_party_invite",
    "third_party_signed",
    "via",
];

/// The room that is meant, and servers that may know it.
pub(super) async fn find(
    app: &App,
    name: OwnedRoomOrAliasId,
    mut via: Vec<OwnedServerName>,
) -> Result<(OwnedRoomId, Vec<OwnedServerName>), Error> {
    if let Ok(room_id) = RoomId::parse(name.as_str()) {
        return Ok((room_id, via));
    }
    let alias = RoomAliasId::parse(name.as_str());
    let alias = alias.map_err(|_| web::Error::invalid_param("Neither a room id nor an alias"))?;
    let found = app.services.rooms.resolve_alias(&alias).await?;
    let (room_id, servers) =
        found.ok_or_else(|| web::Error::not_found("There is no such alias"))?;
    via.extend(servers);
    Ok((room_id, via))
}

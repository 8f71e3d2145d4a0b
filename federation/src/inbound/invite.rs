//! Invitations of our users by other servers.

use axum::Extension;
use model::{pdu::Pdu, room_version::RoomVersion};
use ruma::{
    RoomVersionId, UserId,
    api::{
        error::ErrorKind,
        federation::membership::{RawStrippedState, create_invite},
    },
    events::room::member::MembershipState,
};
use serde_json::value::RawValue;
use web::{Error, Matrix};

use crate::{Federation, authorization::RemoteServer, inbound::errors, rooms::raw};

/// Events of an invitation's stripped state that are looked at.
const STRIPPED_EVENTS_MAX: usize = 100;

/// `PUT /_matrix/federation/v2/invite/{roomId}/{eventId}`
pub(crate) async fn create_invite(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<create_invite::v2::Request>,
) -> Result<Matrix<create_invite::v2::Response>, Error> {
    let version = request.room_version.as_str().parse::<RoomVersion>();
    let version = version.map_err(|_| errors::incompatible(request.room_version.clone()))?;
    let claimed = Pdu::from_wire(request.event.get().as_bytes(), version)
        .map_err(|error| Error::bad_json(error.to_string()))?;
    if claimed.room_id != request.room_id || claimed.event_id != request.event_id {
        return Err(Error::invalid_param("The event is another one than the path's"));
    }
    check_is_invitation(&federation, &remote, &claimed).await?;
    check_room(&federation, &remote, &claimed).await?;
    let verified = federation.remote.verify_event(claimed.json(), version).await;
    let event = verified.map_err(|error| errors::remote(&error))?;
    if event.json() != claimed.json() {
        return Err(Error::forbidden("The event's hash does not match its content"));
    }
    let stripped = stripped(request.invite_room_state);
    let signed = federation.services.rooms.receive_invite(event, stripped).await;
    let event = signed.map_err(errors::join)?.to_wire();
    Ok(Matrix(create_invite::v2::Response { event }))
}

/// `PUT /_matrix/federation/v1/invite/{roomId}/{eventId}`: only for rooms of the versions 1 and 2,
/// which we cannot take part in.
pub(crate) async fn create_invite_v1(_: RemoteServer) -> Error {
    errors::incompatible(RoomVersionId::V1)
}

/// Whether it is an invitation of a user of ours by one of the calling server, and nothing else: we
/// are about to sign it.
async fn check_is_invitation(
    federation: &Federation,
    remote: &RemoteServer,
    event: &Pdu,
) -> Result<(), Error> {
    let invited = event.state_key.as_deref().and_then(|key| UserId::parse(key).ok());
    let invited = invited.ok_or_else(|| Error::invalid_param("The event invites nobody"))?;
    if !event.is_at("m.room.member", invited.as_str())
        || event.membership() != Some(MembershipState::Invite)
    {
        return Err(Error::invalid_param("The event is no invitation"));
    }
    if event.sender.server_name() != remote.name() {
        return Err(Error::forbidden("The inviting user is of another server"));
    }
    if !federation.context().is_local(&invited) {
        return Err(Error::invalid_param("The invited user is of another server"));
    }
    let account = federation.services.accounts.find_user(&invited).await;
    if account.map_err(Error::internal)?.is_none() {
        return Err(Error::not_found("There is no such user"));
    }
    Ok(())
}

/// If we know the room, its access control list counts.
async fn check_room(
    federation: &Federation,
    remote: &RemoteServer,
    event: &Pdu,
) -> Result<(), Error> {
    let rooms = &federation.services.rooms;
    let Some(room) = rooms.find(&event.room_id).await.map_err(errors::write)? else {
        return Ok(());
    };
    if room.version != event.room_version {
        return Err(Error::bad_request(ErrorKind::InvalidParam, "The room is of another version"));
    }
    let visitor = rooms.visitor(&room, remote.name()).await.map_err(errors::write)?;
    if visitor.we_are_resident && !visitor.is_allowed {
        return Err(Error::forbidden("The room's access control list denies your server"));
    }
    Ok(())
}

fn stripped(state: Vec<RawStrippedState>) -> Vec<Box<RawValue>> {
    state.into_iter().take(STRIPPED_EVENTS_MAX).filter_map(raw).collect()
}

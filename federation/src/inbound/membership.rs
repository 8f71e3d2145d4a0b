//! Joining, knocking and leaving of other servers' users, through us.
//!
//! What is sent must be exactly what is allowed: an event of the path's room and id, sent by a user
//! of the calling server about himself, with the endpoint's membership.

use std::sync::Arc;

use axum::Extension;
use model::{build, pdu::Pdu, room_version::RoomVersion};
use ruma::{
    CanonicalJsonObject, EventId, RoomId, RoomVersionId, UserId,
    api::federation::membership::{
        RawStrippedState, create_join_event, create_knock_event, create_leave_event,
        prepare_join_event, prepare_knock_event, prepare_leave_event,
    },
    events::room::member::MembershipState,
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use services::rooms::Room;
use web::{Error, Json, Matrix};

use crate::{Federation, authorization::RemoteServer, grants::RoomWriteGrant, inbound::errors};

/// `GET /_matrix/federation/v1/make_join/{roomId}/{userId}`
pub(crate) async fn prepare_join_event(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<prepare_join_event::v1::Request>,
) -> Result<Matrix<prepare_join_event::v1::Response>, Error> {
    let user = own_user(&remote, &request.user_id)?;
    let grant = RoomWriteGrant::check(&federation, &remote, &request.room_id).await?;
    let version = supported(grant.room(), &request.ver)?;
    let event = propose(&federation, &grant, user, MembershipState::Join).await?;
    Ok(Matrix(prepare_join_event::v1::Response { room_version: Some(version), event }))
}

/// `GET /_matrix/federation/v1/make_knock/{roomId}/{userId}`
pub(crate) async fn prepare_knock_event(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<prepare_knock_event::v1::Request>,
) -> Result<Matrix<prepare_knock_event::v1::Response>, Error> {
    let user = own_user(&remote, &request.user_id)?;
    let grant = RoomWriteGrant::check(&federation, &remote, &request.room_id).await?;
    let room_version = supported(grant.room(), &request.ver)?;
    let event = propose(&federation, &grant, user, MembershipState::Knock).await?;
    Ok(Matrix(prepare_knock_event::v1::Response { room_version, event }))
}

/// `GET /_matrix/federation/v1/make_leave/{roomId}/{userId}`
pub(crate) async fn prepare_leave_event(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<prepare_leave_event::v1::Request>,
) -> Result<Matrix<prepare_leave_event::v1::Response>, Error> {
    let user = own_user(&remote, &request.user_id)?;
    let grant = RoomWriteGrant::check(&federation, &remote, &request.room_id).await?;
    let room_version = Some(grant.room().version.id());
    let event = propose(&federation, &grant, user, MembershipState::Leave).await?;
    Ok(Matrix(prepare_leave_event::v1::Response { room_version, event }))
}

/// `PUT /_matrix/federation/v2/send_join/{roomId}/{eventId}`
pub(crate) async fn create_join_event(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<create_join_event::v2::Request>,
) -> Result<Matrix<create_join_event::v2::Response>, Error> {
    let grant = RoomWriteGrant::check(&federation, &remote, &request.room_id).await?;
    let sent = Sent { room_id: &request.room_id, event_id: &request.event_id, pdu: &request.pdu };
    let event = accept(&federation, &remote, &grant, sent, MembershipState::Join).await?;
    let vouched = event.join_authorised_via();
    let joined = federation.services.rooms.joined(grant.room(), event).await;
    let joined = joined.map_err(errors::write)?;
    let wire = |pdus: &[Arc<Pdu>]| pdus.iter().map(|pdu| pdu.to_wire()).collect();
    let room_state = create_join_event::v2::RoomState {
        members_omitted: false,
        auth_chain: wire(&joined.before.auth_chain),
        state: wire(&joined.before.state),
        // The joining server needs our signature where we vouch for the join.
        event: vouched.map(|_| joined.event.to_wire()),
        servers_in_room: Some(joined.servers),
    };
    Ok(Matrix(create_join_event::v2::Response { room_state }))
}

/// `PUT /_matrix/federation/v1/send_join/{roomId}/{eventId}`: the same, answered as a pair of status
/// and body.
pub(crate) async fn create_join_event_v1(
    federation: Extension<Federation>,
    remote: RemoteServer,
    request: Matrix<create_join_event::v2::Request>,
) -> Result<Json<(u16, create_join_event::v2::RoomState)>, Error> {
    let Matrix(answer) = create_join_event(federation, remote, request).await?;
    Ok(Json((200, answer.room_state)))
}

/// `PUT /_matrix/federation/v1/send_knock/{roomId}/{eventId}`
pub(crate) async fn create_knock_event(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<create_knock_event::v1::Request>,
) -> Result<Matrix<create_knock_event::v1::Response>, Error> {
    let grant = RoomWriteGrant::check(&federation, &remote, &request.room_id).await?;
    let sent = Sent { room_id: &request.room_id, event_id: &request.event_id, pdu: &request.pdu };
    accept(&federation, &remote, &grant, sent, MembershipState::Knock).await?;
    let stripped = federation.services.rooms.stripped_state(grant.room()).await;
    let stripped = stripped.map_err(errors::write)?;
    let knock_room_state = stripped.into_iter().map(RawStrippedState::Pdu).collect();
    Ok(Matrix(create_knock_event::v1::Response { knock_room_state }))
}

/// `PUT /_matrix/federation/v2/send_leave/{roomId}/{eventId}`
pub(crate) async fn create_leave_event(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<create_leave_event::v2::Request>,
) -> Result<Matrix<create_leave_event::v2::Response>, Error> {
    let grant = RoomWriteGrant::check(&federation, &remote, &request.room_id).await?;
    let sent = Sent { room_id: &request.room_id, event_id: &request.event_id, pdu: &request.pdu };
    accept(&federation, &remote, &grant, sent, MembershipState::Leave).await?;
    Ok(Matrix(create_leave_event::v2::Response::new()))
}

/// `PUT /_matrix/federation/v1/send_leave/{roomId}/{eventId}`: the same, answered as a pair of
/// status and body.
pub(crate) async fn create_leave_event_v1(
    federation: Extension<Federation>,
    remote: RemoteServer,
    request: Matrix<create_leave_event::v2::Request>,
) -> Result<Json<(u16, Empty)>, Error> {
    create_leave_event(federation, remote, request).await?;
    Ok(Json((200, Empty {})))
}

/// `{}`
#[derive(Serialize)]
pub(crate) struct Empty {}

/// What came by a send_* endpoint.
struct Sent<'a> {
    room_id: &'a RoomId,
    event_id: &'a EventId,
    pdu: &'a RawValue,
}

/// Takes in a member event that a server completed, and passes it on to the room's other servers
/// before it is acknowledged.
async fn accept(
    federation: &Federation,
    remote: &RemoteServer,
    grant: &RoomWriteGrant,
    sent: Sent<'_>,
    membership: MembershipState,
) -> Result<Arc<Pdu>, Error> {
    let room = grant.room();
    let claimed = Pdu::from_wire(sent.pdu.get().as_bytes(), room.version)
        .map_err(|error| Error::bad_json(error.to_string()))?;
    check_is(remote, &claimed, &sent, &membership)?;
    let signed = vouch(federation, grant, claimed).await?;
    let verified = federation.remote.verify_event(signed.json(), room.version).await;
    let event = verified.map_err(|error| errors::remote(&error))?;
    // Its content must be what was signed: a redacted member event says less than it did.
    if event.event_id != sent.event_id || event.json() != signed.json() {
        return Err(Error::forbidden("The event's hash does not match its content"));
    }
    let accepted = federation.services.rooms.accept_member(room, event).await;
    let accepted = accepted.map_err(errors::receive)?;
    pass_on(federation, room, &accepted, remote).await?;
    Ok(accepted)
}

/// Lets the event be sent to the room's other servers. The calling server knows of us, they may
/// not know of it.
async fn pass_on(
    federation: &Federation,
    room: &Room,
    event: &Pdu,
    remote: &RemoteServer,
) -> Result<(), Error> {
    let event_id = event.event_id.clone();
    let stored =
        federation.services.rooms.read(room.number, move |rows| rows.event_by_id(&event_id));
    let Some(stored) = stored.await.map_err(Error::internal)? else { return Ok(()) };
    let destinations = federation.sender.destinations();
    let passed = destinations.forward(room.number, stored.number, remote.name());
    passed.await.map_err(Error::internal)
}

/// Whether the event is nothing but what may be sent this way.
fn check_is(
    remote: &RemoteServer,
    event: &Pdu,
    sent: &Sent<'_>,
    membership: &MembershipState,
) -> Result<(), Error> {
    if event.room_id != sent.room_id {
        return Err(Error::invalid_param("The event is of another room than the path"));
    }
    if event.event_id != sent.event_id {
        return Err(Error::invalid_param("The event has another id than the path"));
    }
    if !event.is_at("m.room.member", event.sender.as_str())
        || event.membership().as_ref() != Some(membership)
    {
        return Err(Error::invalid_param("The event is not such a membership of its sender"));
    }
    own_user(remote, &event.sender).map(drop)
}

/// A restricted join names a user who vouches for it. If he is ours, we first see for ourselves
/// that the joining user meets the room's conditions, and then sign it too.
async fn vouch(federation: &Federation, grant: &RoomWriteGrant, event: Pdu) -> Result<Pdu, Error> {
    let context = federation.context();
    let ours = event.join_authorised_via().filter(|via| context.is_local(via));
    if ours.is_none() {
        return Ok(event);
    }
    propose(federation, grant, &event.sender, MembershipState::Join).await?;
    build::countersign(&event, &context.server_name, &context.signing_key.current())
        .map_err(|error| Error::bad_json(error.to_string()))
}

async fn propose(
    federation: &Federation,
    grant: &RoomWriteGrant,
    user: &UserId,
    membership: MembershipState,
) -> Result<Box<RawValue>, Error> {
    let proposal = federation.services.rooms.propose(grant.room(), user, membership).await;
    let proposal: CanonicalJsonObject = proposal.map_err(errors::write)?;
    to_raw_value(&proposal).map_err(Error::internal)
}

fn own_user<'a>(remote: &RemoteServer, user: &'a UserId) -> Result<&'a UserId, Error> {
    if user.server_name() == remote.name() {
        return Ok(user);
    }
    Err(Error::forbidden("The user is of another server"))
}

fn supported(room: &Room, versions: &[RoomVersionId]) -> Result<RoomVersionId, Error> {
    let version: RoomVersion = room.version;
    if versions.contains(&version.id()) {
        return Ok(version.id());
    }
    Err(errors::incompatible(version.id()))
}

//! `GET /rooms/{roomId}/state…`, `/members`, `/joined_members` and `/joined_rooms`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room>

use std::collections::BTreeMap;

use axum::Extension;
use model::membership::Membership;
use ruma::{
    OwnedRoomId,
    api::client::{
        membership::{get_member_events, joined_members},
        state::get_state_events,
    },
    events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use services::state_reads::{Face, MembersQuery, StateFormat};
use web::{Json, Matrix};

use super::{
    asked::{Asked, reader},
    caller::Caller,
    error::Error,
};
use crate::app::App;

/// `GET /_matrix/client/v3/rooms/{roomId}/state`
pub(crate) async fn get_state_events(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_state_events::v3::Request>,
) -> Result<Json<Vec<Box<RawValue>>>, Error> {
    Ok(Json(app.services.state_reads.state(reader(&caller), request.room_id).await?))
}

#[derive(Deserialize)]
pub(crate) struct StateParameters {
    format: Option<String>,
}

/// `GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
pub(crate) async fn get_state_event_for_key(
    Extension(app): Extension<App>,
    caller: Caller,
    Asked((room_id, event_type, state_key), parameters): Asked<
        (OwnedRoomId, String, String),
        StateParameters,
    >,
) -> Result<Json<Box<RawValue>>, Error> {
    state_event(&app, &caller, room_id, (event_type, state_key), parameters).await
}

/// `GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}`, with and without a slash at its end:
/// "When an empty string, the trailing slash on this endpoint is optional."
pub(crate) async fn get_state_event_for_empty_key(
    Extension(app): Extension<App>,
    caller: Caller,
    Asked((room_id, event_type), parameters): Asked<(OwnedRoomId, String), StateParameters>,
) -> Result<Json<Box<RawValue>>, Error> {
    state_event(&app, &caller, room_id, (event_type, String::new()), parameters).await
}

async fn state_event(
    app: &App,
    caller: &Caller,
    room_id: OwnedRoomId,
    place: (String, String),
    parameters: StateParameters,
) -> Result<Json<Box<RawValue>>, Error> {
    let format = match parameters.format.as_deref() {
        None | Some("content") => StateFormat::Content,
        Some("event") => StateFormat::Event,
        Some(_) => return Err(web::Error::invalid_param("There is no such format").into()),
    };
    let reads = &app.services.state_reads;
    let found = reads.state_event(reader(caller), room_id, place, format).await?;
    Ok(Json(found.ok_or_else(|| web::Error::not_found("The room has no such state"))?))
}

#[derive(Serialize)]
pub(crate) struct Members {
    chunk: Vec<Box<RawValue>>,
}

/// `GET /_matrix/client/v3/rooms/{roomId}/members`
pub(crate) async fn get_member_events(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_member_events::v3::Request>,
) -> Result<Json<Members>, Error> {
    let query = MembersQuery {
        room_id: request.room_id,
        at: request.at,
        membership: membership(request.membership)?,
        not_membership: membership(request.not_membership)?,
    };
    Ok(Json(Members { chunk: app.services.state_reads.members(reader(&caller), query).await? }))
}

fn membership(asked: Option<MembershipState>) -> Result<Option<Membership>, Error> {
    let Some(asked) = asked else { return Ok(None) };
    let known = Membership::of(&asked);
    Ok(Some(known.ok_or_else(|| web::Error::invalid_param("There is no such membership"))?))
}

#[derive(Serialize)]
pub(crate) struct JoinedMembers {
    joined: BTreeMap<String, Face>,
}

/// `GET /_matrix/client/v3/rooms/{roomId}/joined_members`
pub(crate) async fn joined_members(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<joined_members::v3::Request>,
) -> Result<Json<JoinedMembers>, Error> {
    let reads = &app.services.state_reads;
    Ok(Json(JoinedMembers {
        joined: reads.joined_members(reader(&caller), request.room_id).await?,
    }))
}

#[derive(Serialize)]
pub(crate) struct JoinedRooms {
    joined_rooms: Vec<String>,
}

/// `GET /_matrix/client/v3/joined_rooms`
pub(crate) async fn joined_rooms(
    Extension(app): Extension<App>,
    caller: Caller,
) -> Result<Json<JoinedRooms>, Error> {
    let joined_rooms = app.services.state_reads.joined_rooms(caller.localpart()).await?;
    Ok(Json(JoinedRooms { joined_rooms }))
}

//! Events, states and history for servers that are in the room.

use axum::Extension;
use js_int::UInt;
use model::pdu::Pdu;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId,
    api::federation::{
        authorization::get_event_authorization,
        backfill::get_backfill,
        event::{
            get_event, get_event_by_timestamp, get_missing_events, get_room_state,
            get_room_state_ids,
        },
    },
};
use serde_json::value::RawValue;
use services::{
    rooms::serve,
    timeline::{Direction, EventAtTime, nearest_shown},
};
use web::{Error, Json, Matrix};

use crate::{Federation, authorization::RemoteServer, grants::RoomReadGrant, inbound::errors};

/// Events that one request gets at most.
const EVENTS_MAX: usize = 100;
/// Event ids that one request may name.
const NAMED_MAX: usize = 100;

/// `GET /_matrix/federation/v1/event/{eventId}`
pub(crate) async fn get_event(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<get_event::v1::Request>,
) -> Result<Matrix<get_event::v1::Response>, Error> {
    let unknown = || Error::not_found("There is no such event, or your server may not see it");
    let room = federation.services.rooms.room_of_event(&request.event_id).await;
    let room = room.map_err(errors::write)?.ok_or_else(unknown)?;
    let grant = RoomReadGrant::check(&federation, &remote, &room.id).await;
    // Whether there is such an event is not for those to know who may not see it.
    let grant = grant.map_err(|_| unknown())?;
    let found = grant.read(&federation, move |seen| {
        let Some(event) = seen.event(&request.event_id)? else { return Ok(None) };
        Ok(seen.is_visible(&event)?.then_some(event))
    });
    let pdu = found.await?.ok_or_else(unknown)?.pdu.to_wire();
    let origin = federation.context().server_name.clone();
    Ok(Matrix(get_event::v1::Response { origin, origin_server_ts: now(&federation), pdu }))
}

/// `GET /_matrix/federation/v1/state/{roomId}`
pub(crate) async fn get_room_state(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<get_room_state::v1::Request>,
) -> Result<Matrix<get_room_state::v1::Response>, Error> {
    let grant = RoomReadGrant::check(&federation, &remote, &request.room_id).await?;
    let before = state_before(&federation, &grant, request.event_id).await?;
    Ok(Matrix(get_room_state::v1::Response {
        auth_chain: before.auth_chain.iter().map(|pdu| pdu.to_wire()).collect(),
        pdus: before.state.iter().map(|pdu| pdu.to_wire()).collect(),
    }))
}

/// `GET /_matrix/federation/v1/state_ids/{roomId}`
pub(crate) async fn get_room_state_ids(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<get_room_state_ids::v1::Request>,
) -> Result<Matrix<get_room_state_ids::v1::Response>, Error> {
    let grant = RoomReadGrant::check(&federation, &remote, &request.room_id).await?;
    let before = state_before(&federation, &grant, request.event_id).await?;
    let id = |pdu: std::sync::Arc<Pdu>| pdu.event_id.clone();
    Ok(Matrix(get_room_state_ids::v1::Response {
        auth_chain_ids: before.auth_chain.into_iter().map(id).collect(),
        pdu_ids: before.state.into_iter().map(id).collect(),
    }))
}

/// `GET /_matrix/federation/v1/event_auth/{roomId}/{eventId}`
pub(crate) async fn get_event_authorization(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<get_event_authorization::v1::Request>,
) -> Result<Matrix<get_event_authorization::v1::Response>, Error> {
    let grant = RoomReadGrant::check(&federation, &remote, &request.room_id).await?;
    let chain = grant.read(&federation, move |seen| {
        let Some(event) = seen.event(&request.event_id)? else { return Ok(None) };
        serve::auth_chain(seen.rows, std::iter::once(&event)).map(Some)
    });
    let chain = chain.await?.ok_or_else(unknown_event)?;
    let auth_chain = chain.iter().map(|event| event.pdu.to_wire()).collect();
    Ok(Matrix(get_event_authorization::v1::Response { auth_chain }))
}

/// `GET /_matrix/federation/v1/backfill/{roomId}`
pub(crate) async fn get_backfill(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<get_backfill::v1::Request>,
) -> Result<Matrix<get_backfill::v1::Response>, Error> {
    let grant = RoomReadGrant::check(&federation, &remote, &request.room_id).await?;
    let (from, limit) = (named(request.v)?, limit(request.limit));
    let pdus = grant.read(&federation, move |seen| {
        let events = serve::events_before(seen.rows, &seen.known(&from)?, limit)?;
        events.iter().map(|event| Ok(seen.shown(event)?.to_wire())).collect()
    });
    let pdus: Vec<Box<RawValue>> = pdus.await?;
    let origin = federation.context().server_name.clone();
    Ok(Matrix(get_backfill::v1::Response { origin, origin_server_ts: now(&federation), pdus }))
}

/// `GET /_matrix/federation/v1/timestamp_to_event/{roomId}`
pub(crate) async fn get_event_by_timestamp(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<get_event_by_timestamp::v1::Request>,
) -> Result<Json<EventAtTime>, Error> {
    let grant = RoomReadGrant::check(&federation, &remote, &request.room_id).await?;
    let direction = match request.dir {
        ruma::api::Direction::Forward => Direction::Forward,
        ruma::api::Direction::Backward => Direction::Backward,
    };
    let time_ms = u64::from(request.ts.0);
    let found = grant.read(&federation, move |seen| {
        nearest_shown(seen.rows, time_ms, direction, |event| {
            Ok(seen.event(&event.pdu.event_id)?.is_some())
        })
    });
    let found = found.await?.ok_or_else(|| Error::not_found("There is no event so near"))?;
    Ok(Json(found))
}

/// `POST /_matrix/federation/v1/get_missing_events/{roomId}`
pub(crate) async fn get_missing_events(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<get_missing_events::v1::Request>,
) -> Result<Matrix<get_missing_events::v1::Response>, Error> {
    let grant = RoomReadGrant::check(&federation, &remote, &request.room_id).await?;
    let (latest, earliest) = (named(request.latest_events)?, named(request.earliest_events)?);
    let (limit, min_depth) = (limit(request.limit), u64::from(request.min_depth));
    let events = grant.read(&federation, move |seen| {
        let events = serve::missing_events(seen.rows, &seen.known(&latest)?, &earliest, limit)?;
        let events = events.iter().filter(|event| event.pdu.depth >= min_depth);
        events.map(|event| Ok(seen.shown(event)?.to_wire())).collect()
    });
    Ok(Matrix(get_missing_events::v1::Response { events: events.await? }))
}

/// The state before an event of the room.
async fn state_before(
    federation: &Federation,
    grant: &RoomReadGrant,
    event_id: OwnedEventId,
) -> Result<serve::StateAndChain, Error> {
    let before = grant.read(federation, move |seen| {
        let Some(event) = seen.event(&event_id)? else { return Ok(None) };
        serve::state_before(seen.rows, &event.pdu.event_id)
    });
    before.await?.ok_or_else(unknown_event)
}

fn unknown_event() -> Error {
    Error::not_found("There is no such event in the room, or your server may not see it")
}

fn named(event_ids: Vec<OwnedEventId>) -> Result<Vec<OwnedEventId>, Error> {
    if event_ids.len() > NAMED_MAX {
        return Err(Error::invalid_param("Too many events are named"));
    }
    Ok(event_ids)
}

fn limit(wanted: UInt) -> usize {
    usize::try_from(u64::from(wanted)).unwrap_or(EVENTS_MAX).min(EVENTS_MAX)
}

pub(crate) fn now(federation: &Federation) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::new_saturating(federation.context().clock.now_ms()))
}

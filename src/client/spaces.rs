//! The rooms of a space, and what is shown of a room before one joins it.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#spaces>

use axum::Extension;
use axum::extract::{Path, RawQuery};
use ruma::{
    OwnedRoomId, OwnedRoomOrAliasId, OwnedServerName, ServerName,
    events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};
use services::rooms::spaces::{HierarchyQuery, SpaceError, SpaceRoom, Summary};
use web::Json;

use super::{asked::Asked, caller::Caller, error::Error, membership::find};
use crate::app::App;

/// Rooms of a page, when the client does not say, and at most.
const PAGE_ROOMS: usize = 50;
const PAGE_ROOMS_MAX: usize = 100;
/// How deep a tree is looked into, when the client does not say, and at most.
const DEPTH_MAX: usize = 50;

#[derive(Deserialize)]
pub(crate) struct HierarchyParameters {
    from: Option<String>,
    limit: Option<usize>,
    max_depth: Option<usize>,
    suggested_only: Option<bool>,
}

#[derive(Serialize)]
pub(crate) struct Hierarchy {
    rooms: Vec<SpaceRoom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
}

/// `GET /_matrix/client/v1/rooms/{roomId}/hierarchy`
pub(crate) async fn get_hierarchy(
    Extension(app): Extension<App>,
    caller: Caller,
    Asked(room_id, parameters): Asked<OwnedRoomId, HierarchyParameters>,
) -> Result<Json<Hierarchy>, Error> {
    let query = query(room_id, parameters)?;
    let page = app.services.rooms.hierarchy(&caller.user_id, &query).await;
    let page = page.map_err(|error| match error {
        SpaceError::NotShown => web::Error::forbidden("You may not see the room").into(),
        SpaceError::Write(error) => Error::from(error),
    })?;
    let next_batch = page.more.then(|| token(&query, query.skip + page.rooms.len()));
    Ok(Json(Hierarchy { rooms: page.rooms, next_batch }))
}

fn query(room_id: OwnedRoomId, asked: HierarchyParameters) -> Result<HierarchyQuery, Error> {
    let limit = asked.limit.unwrap_or(PAGE_ROOMS);
    if limit == 0 {
        return Err(web::Error::invalid_param("limit must be greater than zero").into());
    }
    let limit = limit.min(PAGE_ROOMS_MAX);
    let Some(from) = asked.from else {
        let max_depth = asked.max_depth.unwrap_or(DEPTH_MAX).min(DEPTH_MAX);
        let suggested_only = asked.suggested_only.unwrap_or(false);
        return Ok(HierarchyQuery { room_id, suggested_only, max_depth, limit, skip: 0 });
    };
    let begun = parse(&from).ok_or_else(|| web::Error::invalid_param("There is no such token"))?;
    let (skip, max_depth, suggested_only) = begun;
    // "suggested_only and max_depth cannot be changed from the first request."
    let same = asked.max_depth.is_none_or(|depth| depth.min(DEPTH_MAX) == max_depth)
        && asked.suggested_only.is_none_or(|only| only == suggested_only);
    if !same {
        let why = "suggested_only and max_depth cannot change from page to page";
        return Err(web::Error::invalid_param(why).into());
    }
    Ok(HierarchyQuery { room_id, suggested_only, max_depth, limit, skip })
}

/// Where the next page begins: the walk is the same one again.
fn token(query: &HierarchyQuery, skip: usize) -> String {
    format!("h{skip}_{}_{}", query.max_depth, u8::from(query.suggested_only))
}

fn parse(token: &str) -> Option<(usize, usize, bool)> {
    let mut parts = token.strip_prefix('h')?.split('_');
    let (skip, depth, suggested) = (parts.next()?, parts.next()?, parts.next()?);
    let suggested_only = match suggested {
        "0" => false,
        "1" => true,
        _ => return None,
    };
    let read = (skip.parse().ok()?, depth.parse().ok()?, suggested_only);
    parts.next().is_none().then_some(read)
}

#[derive(Serialize)]
pub(crate) struct RoomSummary {
    #[serde(flatten)]
    summary: Summary,
    membership: MembershipState,
}

/// `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}`
pub(crate) async fn get_summary(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(name): Path<OwnedRoomOrAliasId>,
    RawQuery(query): RawQuery,
) -> Result<Json<RoomSummary>, Error> {
    let (room_id, via) = find(&app, name, via(query.as_deref().unwrap_or_default())).await?;
    let found = app.services.rooms.room_summary(&caller.user_id, &room_id, via).await;
    let (summary, membership) = found.map_err(|error| match error {
        SpaceError::NotShown => web::Error::not_found("There is no such room").into(),
        SpaceError::Write(error) => Error::from(error),
    })?;
    Ok(Json(RoomSummary { summary, membership: membership.into() }))
}

/// The servers that the client names, which may be several.
fn via(query: &str) -> Vec<OwnedServerName> {
    let parameters = url::form_urlencoded::parse(query.as_bytes());
    let via = parameters.filter(|(name, _)| name == "via");
    via.filter_map(|(_, server)| ServerName::parse(server).ok()).collect()
}

#[cfg(test)]
mod tests;

//! `GET /rooms/{roomId}/relations/…` and `/threads`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#relationships-api>

use axum::Extension;
use ruma::{
    OwnedEventId, OwnedRoomId,
    api::{
        Direction,
        client::threads::get_threads::{self, v1::IncludeThreads},
    },
};
use serde::Deserialize;
use services::{
    reader::Reader,
    timeline::{Related, RelationsQuery, Threads, ThreadsQuery},
};
use web::{Json, Matrix};

use super::{
    asked::{Asked, direction, reader},
    caller::Caller,
    error::Error,
};
use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct Parameters {
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    dir: Direction,
    limit: Option<u64>,
    #[serde(default, alias = "org.matrix.msc3981.recurse")]
    recurse: bool,
}

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}`
pub(crate) async fn get_relating_events(
    Extension(app): Extension<App>,
    caller: Caller,
    Asked((room_id, event_id), parameters): Asked<(OwnedRoomId, OwnedEventId), Parameters>,
) -> Result<Json<Related>, Error> {
    related(&app, reader(&caller), (room_id, event_id), (None, None), parameters).await
}

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}`
pub(crate) async fn get_relating_events_with_rel_type(
    Extension(app): Extension<App>,
    caller: Caller,
    Asked((room_id, event_id, rel_type), parameters): Asked<
        (OwnedRoomId, OwnedEventId, String),
        Parameters,
    >,
) -> Result<Json<Related>, Error> {
    related(&app, reader(&caller), (room_id, event_id), (Some(rel_type), None), parameters).await
}

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}`
pub(crate) async fn get_relating_events_with_rel_type_and_event_type(
    Extension(app): Extension<App>,
    caller: Caller,
    Asked((room_id, event_id, rel_type, event_type), parameters): Asked<
        (OwnedRoomId, OwnedEventId, String, String),
        Parameters,
    >,
) -> Result<Json<Related>, Error> {
    let kinds = (Some(rel_type), Some(event_type));
    related(&app, reader(&caller), (room_id, event_id), kinds, parameters).await
}

async fn related(
    app: &App,
    reader: Reader,
    (room_id, event_id): (OwnedRoomId, OwnedEventId),
    (rel_type, event_type): (Option<String>, Option<String>),
    parameters: Parameters,
) -> Result<Json<Related>, Error> {
    let query = RelationsQuery {
        room_id,
        event_id,
        rel_type,
        event_type,
        from: parameters.from,
        to: parameters.to,
        direction: direction(parameters.dir),
        limit: parameters.limit,
        recurse: parameters.recurse,
    };
    Ok(Json(app.services.timelines.relations(reader, query).await?))
}

/// `GET /_matrix/client/v1/rooms/{roomId}/threads`
pub(crate) async fn get_threads(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_threads::v1::Request>,
) -> Result<Json<Threads>, Error> {
    let query = ThreadsQuery {
        room_id: request.room_id,
        participated: request.include == IncludeThreads::Participated,
        limit: request.limit.map(u64::from),
        from: request.from,
    };
    Ok(Json(app.services.timelines.threads(reader(&caller), query).await?))
}

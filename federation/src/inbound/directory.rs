//! Our published rooms, and whom an OpenID token speaks for.

use axum::Extension;
use http::StatusCode;
use js_int::UInt;
use ruma::api::{
    error::{ErrorKind, UnknownTokenErrorData},
    federation::{
        directory::{get_public_rooms, get_public_rooms_filtered},
        openid::get_openid_userinfo,
    },
};
use services::rooms::public::Wanted;
use web::{Error, Matrix};

use crate::{Federation, authorization::RemoteServer};

/// Rooms of one page.
const ROOMS_MAX: usize = 100;

/// `GET /_matrix/federation/v1/publicRooms`
pub(crate) async fn get_public_rooms(
    Extension(federation): Extension<Federation>,
    _: RemoteServer,
    Matrix(request): Matrix<get_public_rooms::v1::Request>,
) -> Result<Matrix<get_public_rooms::v1::Response>, Error> {
    let wanted = Wanted { limit: limit(request.limit), since: request.since, ..Wanted::default() };
    let page = federation.services.rooms.public_rooms(wanted).await.map_err(Error::internal)?;
    Ok(Matrix(get_public_rooms::v1::Response {
        chunk: page.chunk,
        next_batch: page.next_batch,
        prev_batch: page.prev_batch,
        total_room_count_estimate: page.total,
    }))
}

/// `POST /_matrix/federation/v1/publicRooms`
pub(crate) async fn get_public_rooms_filtered(
    Extension(federation): Extension<Federation>,
    _: RemoteServer,
    Matrix(request): Matrix<get_public_rooms_filtered::v1::Request>,
) -> Result<Matrix<get_public_rooms_filtered::v1::Response>, Error> {
    let wanted = Wanted {
        limit: limit(request.limit),
        since: request.since,
        search: request.filter.generic_search_term,
        room_types: request.filter.room_types,
    };
    let page = federation.services.rooms.public_rooms(wanted).await.map_err(Error::internal)?;
    Ok(Matrix(get_public_rooms_filtered::v1::Response {
        chunk: page.chunk,
        next_batch: page.next_batch,
        prev_batch: page.prev_batch,
        total_room_count_estimate: page.total,
    }))
}

/// `GET /_matrix/federation/v1/openid/userinfo`
pub(crate) async fn get_openid_userinfo(
    Extension(federation): Extension<Federation>,
    Matrix(request): Matrix<get_openid_userinfo::v1::Request>,
) -> Result<Matrix<get_openid_userinfo::v1::Response>, Error> {
    let user = federation.services.openid.user_of(&request.access_token).await;
    let sub = user.map_err(Error::internal)?.ok_or_else(|| {
        let data = UnknownTokenErrorData { soft_logout: false };
        Error::new(StatusCode::UNAUTHORIZED, ErrorKind::UnknownToken(data), "Unknown token")
    })?;
    Ok(Matrix(get_openid_userinfo::v1::Response { sub }))
}

fn limit(wanted: Option<UInt>) -> usize {
    let wanted = wanted.and_then(|wanted| usize::try_from(u64::from(wanted)).ok());
    wanted.unwrap_or(ROOMS_MAX).min(ROOMS_MAX)
}

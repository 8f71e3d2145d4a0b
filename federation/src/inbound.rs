//! The route table of the Server-Server API: every path, spelled out.

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post, put},
};
use web::Routes;

use crate::{Federation, authorization::authorise};

mod devices;
mod directory;
mod edus;
pub(crate) mod errors;
mod events;
mod invite;
mod keys;
mod media;
mod membership;
mod query;
mod spaces;
#[cfg(test)]
mod tests;
mod transactions;
mod version;

#[cfg(test)]
pub(crate) use events::now;

/// Bytes of a request's body: a transaction of 50 events and 100 ephemeral data units fits well.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The API of any number of homeservers: each request brings the [`Federation`] of the one that it
/// is for, as an extension.
pub fn router() -> Router {
    open_to_all()
        .merge(signed().behind(middleware::from_fn(authorise)))
        .into_router()
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// The API of one homeserver.
pub fn router_of(federation: Federation) -> Router {
    router().layer(Extension(federation))
}

/// What anybody may ask.
#[rustfmt::skip]
fn open_to_all() -> Routes {
    Routes::new()
        .at("/_matrix/key/v2/server", get(keys::get_server_keys))
        .at("/_matrix/key/v2/query", post(keys::get_remote_server_keys_batch))
        .at("/_matrix/key/v2/query/{serverName}", get(keys::get_remote_server_keys))
        .at("/_matrix/federation/v1/openid/userinfo", get(directory::get_openid_userinfo))
        .at("/_matrix/federation/v1/version", get(version::get_server_version))
}

/// What only other servers may ask, each for itself.
#[rustfmt::skip]
fn signed() -> Routes {
    Routes::new()
        .at("/_matrix/federation/v1/send/{txnId}", put(transactions::send_transaction_message))
        .at("/_matrix/federation/v1/make_join/{roomId}/{userId}", get(membership::prepare_join_event))
        .at("/_matrix/federation/v2/send_join/{roomId}/{eventId}", put(membership::create_join_event))
        .at("/_matrix/federation/v1/send_join/{roomId}/{eventId}", put(membership::create_join_event_v1))
        .at("/_matrix/federation/v1/make_knock/{roomId}/{userId}", get(membership::prepare_knock_event))
        .at("/_matrix/federation/v1/send_knock/{roomId}/{eventId}", put(membership::create_knock_event))
        .at("/_matrix/federation/v1/make_leave/{roomId}/{userId}", get(membership::prepare_leave_event))
        .at("/_matrix/federation/v2/send_leave/{roomId}/{eventId}", put(membership::create_leave_event))
        .at("/_matrix/federation/v1/send_leave/{roomId}/{eventId}", put(membership::create_leave_event_v1))
        .at("/_matrix/federation/v1/invite/{roomId}/{eventId}", put(invite::create_invite_v1))
        .at("/_matrix/federation/v2/invite/{roomId}/{eventId}", put(invite::create_invite))
        .at("/_matrix/federation/v1/event/{eventId}", get(events::get_event))
        .at("/_matrix/federation/v1/state/{roomId}", get(events::get_room_state))
        .at("/_matrix/federation/v1/state_ids/{roomId}", get(events::get_room_state_ids))
        .at("/_matrix/federation/v1/event_auth/{roomId}/{eventId}", get(events::get_event_authorization))
        .at("/_matrix/federation/v1/backfill/{roomId}", get(events::get_backfill))
        .at("/_matrix/federation/v1/get_missing_events/{roomId}", post(events::get_missing_events))
        .at("/_matrix/federation/v1/timestamp_to_event/{roomId}", get(events::get_event_by_timestamp))
        .at("/_matrix/federation/v1/hierarchy/{roomId}", get(spaces::get_hierarchy))
        .at("/_matrix/federation/v1/user/keys/query", post(devices::get_keys))
        .at("/_matrix/federation/v1/user/keys/claim", post(devices::claim_keys))
        .at("/_matrix/federation/v1/user/devices/{userId}", get(devices::get_devices))
        .at("/_matrix/federation/v1/publicRooms", get(directory::get_public_rooms).post(directory::get_public_rooms_filtered))
        .at("/_matrix/federation/v1/query/profile", get(query::get_profile_information))
        .at("/_matrix/federation/v1/query/directory", get(query::get_room_information))
        .at("/_matrix/federation/v1/query/{queryType}", get(query::get_custom_information))
        .at("/_matrix/federation/v1/media/download/{mediaId}", get(media::get_content))
        .at("/_matrix/federation/v1/media/thumbnail/{mediaId}", get(media::get_content_thumbnail))
}

//! The route table of the Server-Server API: every path, spelled out.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use web::Routes;

use crate::{Federation, authorization::authorise};

mod keys;
mod query;
mod version;

/// Bytes of a request's body: a transaction of 50 events and 100 ephemeral data units fits well.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The API of one homeserver.
pub fn router(federation: Federation) -> Router {
    open_to_all()
        .merge(signed().behind(middleware::from_fn_with_state(federation.clone(), authorise)))
        .into_router()
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(federation)
}

/// What anybody may ask.
#[rustfmt::skip]
fn open_to_all() -> Routes<Federation> {
    Routes::new()
        .at("/_matrix/key/v2/server", get(keys::get_server_keys))
        .at("/_matrix/key/v2/query", post(keys::get_remote_server_keys_batch))
        .at("/_matrix/key/v2/query/{serverName}", get(keys::get_remote_server_keys))
        .at("/_matrix/federation/v1/version", get(version::get_server_version))
}

/// What only other servers may ask, each for itself.
#[rustfmt::skip]
fn signed() -> Routes<Federation> {
    Routes::new()
        .at("/_matrix/federation/v1/query/{queryType}", get(query::get_information))
}

//! ROUTE TABLE of the Client-Server API: every path, one line each, spelled out.
//!
//! `/_matrix/client/versions` and `/.well-known` are in `app/router.rs`: they are answered before
//! it is known which homeserver is meant.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/>

pub(crate) mod versions;
pub(crate) mod well_known;

use axum::{Router, extract::DefaultBodyLimit};
use web::Routes;

use crate::app::{App, Settings};

/// Bytes of a request's body. Media is uploaded in streams and has a limit of its own; the largest
/// bodies beside it are key backups.
const BODY_BYTES_MAX: usize = 10 << 20;

/// Everything under `/_matrix/client`, `/_matrix/media` and `/_synapse`.
pub(crate) fn router(_settings: &Settings) -> Router<App> {
    Routes::new().into_router().layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

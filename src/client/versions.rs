//! `GET /versions`: what a client may use here.

use serde_json::{Value, json};
use web::Json;

/// The versions of the specification that this server follows.
const VERSIONS: [&str; 26] = [
    "r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.1", "v1.1", "v1.2", "v1.3",
    "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12", "v1.13", "v1.14",
    "v1.15", "v1.16", "v1.17", "v1.18", "v1.19",
];

/// Proposals that clients ask for by name.
const UNSTABLE_FEATURES: [&str; 4] = [
    "org.matrix.msc3874",
    "org.matrix.msc3981",
    "org.matrix.msc4222",
    "org.matrix.simplified_msc3575",
];

/// `GET /_matrix/client/versions`. No homeserver is needed to answer, so it also tells that the
/// process is ready.
pub(crate) async fn get_supported_versions() -> Json<Value> {
    let features: serde_json::Map<String, Value> =
        UNSTABLE_FEATURES.iter().map(|feature| ((*feature).to_owned(), true.into())).collect();
    Json(json!({ "versions": VERSIONS, "unstable_features": features }))
}

//! `/.well-known/matrix`: where clients and servers find a homeserver that they know by name.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#server-discovery>

use std::sync::Arc;

use axum::Extension;
use serde_json::{Value, json};
use web::{Error, Json};

use crate::{
    app::{Homeservers, of_client},
    config::HomeserverConfig,
    http::Origin,
};

/// `GET /.well-known/matrix/client`
pub(crate) async fn discover_homeserver(
    Extension(homeservers): Extension<Arc<Homeservers>>,
    Extension(origin): Extension<Origin>,
) -> Result<Json<Value>, Error> {
    let (configured, rtc) = (configured(&homeservers, &origin)?, &homeservers.shared().config.rtc);
    let base_url = match configured.and_then(|configured| configured.client_url.clone()) {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => origin.base_url().ok_or_else(nothing)?,
    };
    let mut answer = json!({ "m.homeserver": { "base_url": base_url } });
    if let Some(url) = &rtc.livekit_service_url {
        answer["org.matrix.msc4143.rtc_foci"] =
            json!([{ "type": "livekit", "livekit_service_url": url }]);
    }
    Ok(Json(answer))
}

/// `GET /.well-known/matrix/server`
pub(crate) async fn discover_server(
    Extension(homeservers): Extension<Arc<Homeservers>>,
    Extension(origin): Extension<Origin>,
) -> Result<Json<Value>, Error> {
    let configured = configured(&homeservers, &origin)?;
    let address = configured.and_then(|configured| configured.federation_address.clone());
    Ok(Json(json!({ "m.server": address.ok_or_else(nothing)? })))
}

/// What the configuration says of the homeserver that is asked for, if it is in the configuration.
fn configured<'a>(
    homeservers: &'a Homeservers,
    origin: &Origin,
) -> Result<Option<&'a HomeserverConfig>, Error> {
    let name = of_client(homeservers, origin).ok_or_else(nothing)?;
    let all = &homeservers.shared().config.homeservers;
    Ok(all.iter().find(|configured| configured.server_name == name))
}

fn nothing() -> Error {
    Error::not_found("There is nothing to discover")
}

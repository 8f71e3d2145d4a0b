//! `GET /capabilities`, and what this server has not.

use axum::Extension;
use model::room_version::RoomVersion;
use serde_json::{Map, Value, json};
use web::Json;

use super::{caller::Caller, error::Error};
use crate::app::App;

/// `GET /_matrix/client/v3/capabilities`
pub(crate) async fn get_capabilities(
    Extension(app): Extension<App>,
    caller: Caller,
) -> Json<Value> {
    let versions =
        RoomVersion::ALL.iter().map(|version| (version.as_str().to_owned(), Value::from("stable")));
    let mut capabilities = json!({
        "m.change_password": { "enabled": true },
        "m.room_versions": {
            "default": app.settings.default_room_version.as_str(),
            "available": versions.collect::<Map<_, _>>(),
        },
        "m.set_displayname": { "enabled": true },
        "m.set_avatar_url": { "enabled": true },
        "m.profile_fields": { "enabled": true },
        "m.3pid_changes": { "enabled": false },
        "m.get_login_token": { "enabled": true },
    });
    if caller.admin {
        capabilities["m.account_moderation"] = json!({ "suspend": true, "lock": true });
    }
    Json(json!({ "capabilities": capabilities }))
}

/// `GET /_matrix/client/v1/auth_metadata`: "the server does not support the OAuth 2.0 API".
pub(crate) async fn get_authorization_server_metadata() -> Error {
    web::Error::unrecognized().into()
}

/// `GET /_matrix/client/v3/account/3pid`: accounts have no addresses here.
pub(crate) async fn get_3pids(_: Caller) -> Json<Value> {
    Json(json!({ "threepids": [] }))
}

/// `POST /_matrix/client/v3/account/3pid/delete` and `/unbind`: there is nothing to take away.
pub(crate) async fn delete_3pid(_: Caller) -> Json<Value> {
    Json(json!({ "id_server_unbind_result": "no-support" }))
}

/// Everything that would add an address to an account.
pub(crate) async fn refuse_3pids() -> Error {
    let kind = web::ErrorKind::ThreepidDenied;
    let message = "Accounts have no e-mail addresses or telephone numbers here";
    web::Error::new(http::StatusCode::FORBIDDEN, kind, message).into()
}

/// `GET /_matrix/client/v3/thirdparty/protocols`
pub(crate) async fn get_protocols(_: Caller) -> Json<Value> {
    Json(json!({}))
}

/// `GET /_matrix/client/v3/thirdparty/location` and `/user`: nobody is known by other names.
pub(crate) async fn get_third_parties(_: Caller) -> Json<Value> {
    Json(json!([]))
}

/// `GET /_matrix/client/v3/thirdparty/{protocol,location,user}/{protocol}`
pub(crate) async fn get_protocol(_: Caller) -> Error {
    web::Error::not_found("This protocol is not bridged here").into()
}

//! `/pushers`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#push-notifications>

use axum::Extension;
use ruma::api::client::push::{
    PusherKind,
    set_pusher::v3::{PusherAction, Request},
};
use serde_json::{Map, Value, json};
use services::pushers::{PusherError, PusherId};
use url::Url;
use web::{Json, MatrixWithBody};

use super::{caller::Caller, error::Error};
use crate::app::App;

/// Where a push gateway listens: "the URL MUST be an HTTPS URL with a path of".
const GATEWAY_PATH: &str = "/_matrix/push/v1/notify";

/// `GET /_matrix/client/v3/pushers`
pub(crate) async fn get_pushers(
    Extension(app): Extension<App>,
    caller: Caller,
) -> Result<Json<Value>, Error> {
    let pushers = app.services.pushers.of(caller.localpart()).await?;
    let pusher = |json: &str| serde_json::from_str::<Value>(json).map_err(web::Error::internal);
    let pushers = pushers.iter().map(|(_, found)| pusher(&found.json));
    Ok(Json(json!({ "pushers": pushers.collect::<Result<Vec<_>, _>>()? })))
}

/// `POST /_matrix/client/v3/pushers/set`
pub(crate) async fn set_pusher(
    Extension(app): Extension<App>,
    caller: Caller,
    MatrixWithBody(request, body): MatrixWithBody<Request>,
) -> Result<Json<Value>, Error> {
    let pushers = &app.services.pushers;
    match request.action {
        PusherAction::Post(post) => {
            check(&post.pusher.kind)?;
            let ids = post.pusher.ids;
            let id = PusherId { app_id: ids.app_id, pushkey: ids.pushkey };
            let mut pusher: Map<String, Value> = web::json::decode(&body)?;
            pusher.remove("append");
            pushers.set(&caller, id, Value::Object(pusher).to_string(), post.append).await?;
        }
        PusherAction::Delete(ids) => {
            let id = PusherId { app_id: ids.app_id, pushkey: ids.pushkey };
            pushers.remove(caller.localpart(), id).await?;
        }
    }
    Ok(Json(json!({})))
}

fn check(kind: &PusherKind) -> Result<(), web::Error> {
    let PusherKind::Http(data) = kind else {
        return Err(web::Error::invalid_param("Only pushers of kind http are known here"));
    };
    let url = Url::parse(&data.url).ok();
    let valid = url
        .is_some_and(|url| ["https", "http"].contains(&url.scheme()) && url.path() == GATEWAY_PATH);
    if valid { Ok(()) } else { Err(web::Error::invalid_param("That is no push gateway's URL")) }
}

impl From<PusherError> for Error {
    fn from(error: PusherError) -> Self {
        match error {
            PusherError::TooLong | PusherError::TooMany => {
                web::Error::invalid_param(error.to_string()).into()
            }
            PusherError::Read(error) => error.into(),
            PusherError::Commit(error) => error.into(),
        }
    }
}

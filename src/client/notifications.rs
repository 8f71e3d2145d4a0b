//! What the user was notified of.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#listing-notifications>

use axum::Extension;
use ruma::api::client::push::get_notifications;
use serde_json::{Value, json};
use services::unread::{Notification, Place, Wanted};
use web::{Json, Matrix};

use super::{caller::Caller, error::Error};
use crate::app::App;

const LIMIT: u64 = 20;
const LIMIT_MAX: u64 = 100;

/// `GET /_matrix/client/v3/notifications`
pub(crate) async fn get_notifications(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_notifications::v3::Request>,
) -> Result<Json<Value>, Error> {
    let limit = request.limit.map_or(LIMIT, u64::from).clamp(1, LIMIT_MAX);
    let wanted = Wanted {
        before: request.from.as_deref().map(read_token).transpose()?,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        only_highlights: request.only.as_deref() == Some("highlight"),
    };
    let found = app.services.unread.notifications(caller.user_id.clone(), wanted).await?;
    let list: Vec<Value> = found.list.into_iter().map(show).collect();
    let mut answer = json!({ "notifications": list });
    if let Some(Place(position, index)) = found.next {
        answer["next_token"] = format!("{position}_{index}").into();
    }
    Ok(Json(answer))
}

fn show(notification: Notification) -> Value {
    let Notification { room_id, event, actions, read, ts_ms } = notification;
    json!({ "room_id": room_id, "event": event, "actions": actions, "read": read, "ts": ts_ms })
}

fn read_token(token: &str) -> Result<Place, Error> {
    let place = token
        .split_once('_')
        .and_then(|(position, index)| Some(Place(position.parse().ok()?, index.parse().ok()?)));
    place.ok_or_else(|| web::Error::invalid_param("Unknown pagination token").into())
}

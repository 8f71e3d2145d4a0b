//! `/user/{userId}/rooms/{roomId}/tags`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#room-tagging>

use axum::Extension;
use ruma::api::client::tag::{create_tag, delete_tag, get_tags};
use serde_json::{Value, json};
use web::{Json, Matrix, MatrixWithBody};

use super::{caller::Caller, error::Error};
use crate::app::App;

/// `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags`
pub(crate) async fn get_tags(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_tags::v3::Request>,
) -> Result<Json<Value>, Error> {
    caller.must_be(&request.user_id)?;
    let tags = app.services.tags.of(&caller, &request.room_id).await?;
    Ok(Json(json!({ "tags": tags })))
}

/// `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`
pub(crate) async fn create_tag(
    Extension(app): Extension<App>,
    caller: Caller,
    MatrixWithBody(request, body): MatrixWithBody<create_tag::v3::Request>,
) -> Result<Json<Value>, Error> {
    caller.must_be(&request.user_id)?;
    let tag = web::json::decode(&body)?;
    app.services.tags.set(&caller, &request.room_id, &request.tag, tag).await?;
    Ok(Json(json!({})))
}

/// `DELETE /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`
pub(crate) async fn delete_tag(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<delete_tag::v3::Request>,
) -> Result<Json<Value>, Error> {
    caller.must_be(&request.user_id)?;
    app.services.tags.remove(&caller, &request.room_id, &request.tag).await?;
    Ok(Json(json!({})))
}

//! Who is typing.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#typing-notifications>

use axum::Extension;
use ruma::api::client::typing::create_typing_event::{self, v3::Typing};
use web::Matrix;

use super::{caller::Caller, error::Error};
use crate::app::App;

/// `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}`
pub(crate) async fn create_typing_event(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<create_typing_event::v3::Request>,
) -> Result<Matrix<create_typing_event::v3::Response>, Error> {
    caller.must_be(&request.user_id)?;
    let timeout_ms = match request.state {
        Typing::No => None,
        Typing::Yes(info) => Some(u64::try_from(info.timeout.as_millis()).unwrap_or(u64::MAX)),
    };
    app.services.typing.set(&caller.user_id, &request.room_id, timeout_ms).await?;
    Ok(Matrix(create_typing_event::v3::Response {}))
}

//! Who is there.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#presence>

use std::time::Duration;

use axum::Extension;
use ruma::api::client::presence::{get_presence, set_presence};
use services::presence::STATUS_BYTES_MAX;
use web::Matrix;

use super::{caller::Caller, error::Error};
use crate::app::App;

/// `GET /_matrix/client/v3/presence/{userId}/status`
pub(crate) async fn get_presence(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_presence::v3::Request>,
) -> Result<Matrix<get_presence::v3::Response>, Error> {
    let found = app.services.presences.get(&caller.user_id, &request.user_id).await?;
    let presence = found.ok_or_else(|| web::Error::forbidden("You share no room with the user"))?;
    let now_ms = app.services.context.clock.now_ms();
    let mut response = get_presence::v3::Response::new(presence.state.clone());
    response.currently_active = Some(presence.is_active(now_ms));
    if presence.last_active_ms > 0 {
        let ago = Duration::from_millis(presence.last_active_ago_ms(now_ms));
        response.last_active_ago = Some(ago);
    }
    response.status_msg = presence.status_msg;
    Ok(Matrix(response))
}

/// `PUT /_matrix/client/v3/presence/{userId}/status`
pub(crate) async fn set_presence(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<set_presence::v3::Request>,
) -> Result<Matrix<set_presence::v3::Response>, Error> {
    caller.must_be(&request.user_id)?;
    if request.status_msg.as_ref().is_some_and(|status| status.len() > STATUS_BYTES_MAX) {
        return Err(web::Error::invalid_param("The status message is too long").into());
    }
    let presences = &app.services.presences;
    presences.set(&caller.user_id, caller.device(), request.presence, request.status_msg).await?;
    Ok(Matrix(set_presence::v3::Response::new()))
}

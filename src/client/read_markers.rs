//! Read markers.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers>

use axum::Extension;
use ruma::api::client::read_marker::set_read_marker;
use services::read_markers::Markers;
use web::Matrix;

use super::{caller::Caller, error::Error};
use crate::app::App;

/// `POST /_matrix/client/v3/rooms/{roomId}/read_markers`
pub(crate) async fn set_read_marker(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<set_read_marker::v3::Request>,
) -> Result<Matrix<set_read_marker::v3::Response>, Error> {
    let markers = Markers {
        fully_read: request.fully_read,
        read: request.read_receipt,
        read_private: request.private_read_receipt,
    };
    app.services.read_markers.set(&caller.user_id, &request.room_id, markers).await?;
    Ok(Matrix(set_read_marker::v3::Response {}))
}

//! `/user/{userId}/filter`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#filtering>

use axum::Extension;
use ruma::api::client::filter::{create_filter, get_filter};
use serde_json::{Value, json, value::RawValue};
use services::filters::FilterError;
use web::{Json, Matrix, MatrixWithBody};

use super::{account_data::raw, caller::Caller, error::Error};
use crate::app::App;

/// `POST /_matrix/client/v3/user/{userId}/filter`
pub(crate) async fn create_filter(
    Extension(app): Extension<App>,
    caller: Caller,
    MatrixWithBody(request, body): MatrixWithBody<create_filter::v3::Request>,
) -> Result<Json<Value>, Error> {
    caller.must_be(&request.user_id)?;
    // Stored as it came: it may say more than we understand today.
    let filter: Box<RawValue> = web::json::decode(&body)?;
    let id = app.services.filters.put(&caller, filter.get()).await?;
    Ok(Json(json!({ "filter_id": id })))
}

/// `GET /_matrix/client/v3/user/{userId}/filter/{filterId}`
pub(crate) async fn get_filter(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_filter::v3::Request>,
) -> Result<Json<Box<RawValue>>, Error> {
    caller.must_be(&request.user_id)?;
    let filter = app.services.filters.get(&caller, &request.filter_id).await?;
    raw(&filter.ok_or_else(|| web::Error::not_found("There is no such filter"))?).map(Json)
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::TooLarge | FilterError::TooMany => {
                web::Error::too_large(error.to_string()).into()
            }
            FilterError::Read(error) => error.into(),
            FilterError::Commit(error) => error.into(),
        }
    }
}

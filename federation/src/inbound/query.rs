//! Questions that have no rule.

use ruma::api::federation::query::get_custom_information::v1::Request;
use web::{Error, Matrix};

use crate::authorization::RemoteServer;

/// `GET /_matrix/federation/v1/query/{queryType}`: there are no types that we know but those with
/// endpoints of their own.
pub(crate) async fn get_information(_: RemoteServer, _: Matrix<Request>) -> Error {
    Error::not_found("There is no such query")
}

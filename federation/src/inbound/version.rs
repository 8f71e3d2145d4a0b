//! Which software answers here.

use ruma::api::federation::discovery::get_server_version::v1::{Request, Response, Server};
use web::{Error, Matrix};

/// `GET /_matrix/federation/v1/version`
pub(crate) async fn get_server_version(_: Matrix<Request>) -> Result<Matrix<Response>, Error> {
    let server = Server {
        name: Some("Kontor".to_owned()),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
    };
    Ok(Matrix(Response { server: Some(server) }))
}

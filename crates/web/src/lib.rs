//! What every HTTP surface of the house shares: a Matrix request in, a Matrix response or error
//! out, the route table's pieces, rate limits, and the one client for calls to the outside.
//!
//! Nothing in here decides a rule of Matrix: it only knows how Matrix looks on the wire.

pub mod body;
pub mod cors;
pub mod error;
pub mod json;
pub mod limits;
pub mod matrix;
pub mod outbound;
pub mod route;

pub use crate::{
    error::Error,
    json::{Json, JsonBody},
    limits::RateLimit,
    matrix::{Matrix, MatrixWithBody},
    route::Routes,
};
pub use ruma::api::error::ErrorKind;

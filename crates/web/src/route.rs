//! The pieces of a route table: literal paths in axum's syntax, one line each.
//!
//! A surface writes its whole URL space with this, so that it can be read on one page:
//!
//! ```text
//! Routes::new()
//!     .at("/_matrix/client/v3/rooms/{roomId}/join", post(join))
//!     .at_each(&["/_matrix/client/v3/login", "/_matrix/client/r0/login"], get(flows).post(login))
//!     .into_router()
//! ```

use std::convert::Infallible;

use axum::{
    Router,
    extract::Request,
    response::IntoResponse,
    routing::{MethodRouter, Route},
};
use tower::{Layer, Service};

use crate::Error;

/// A router in the making, whose misses are answered the way Matrix answers them.
pub struct Routes(Router);

impl Routes {
    #[expect(clippy::new_without_default, reason = "an empty table is no sensible default")]
    pub fn new() -> Self {
        Self(Router::new())
    }

    /// One path, spelled out.
    pub fn at(self, path: &'static str, methods: MethodRouter) -> Self {
        Self(self.0.route(path, methods))
    }

    /// Several spellings of the same endpoint: versions, and unstable names.
    pub fn at_each(mut self, paths: &[&'static str], methods: MethodRouter) -> Self {
        for path in paths {
            self.0 = self.0.route(path, methods.clone());
        }
        self
    }

    /// Adds another table, whose paths must not be in this one.
    pub fn merge(self, other: Self) -> Self {
        Self(self.0.merge(other.0))
    }

    /// Puts a middleware before every path of this table, and before nothing else.
    pub fn behind<L>(self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        Self(self.0.route_layer(layer))
    }

    /// The finished router: unknown paths answer 404, known ones with a wrong method 405, both
    /// `M_UNRECOGNIZED`.
    ///
    /// <https://spec.matrix.org/v1.19/client-server-api/#common-error-codes>
    pub fn into_router(self) -> Router {
        self.0
            .method_not_allowed_fallback(async || Error::wrong_method())
            .fallback(async || Error::unrecognized())
    }
}

#[cfg(test)]
mod tests;

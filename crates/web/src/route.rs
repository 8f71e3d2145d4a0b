//! The pieces of a route table: literal paths in axum's syntax, one line each.
//!
//! A surface writes its whole URL space with this, so that it can be read on one page:
//!
//! ```text
//! Routes::new()
//!     .at("/_matrix/client/v3/rooms/{roomId}/join", post(join))
//!     .at_each(&["/_matrix/client/v3/login", "/_matrix/client/r0/login"], get(flows).post(login))
//!     .into_shared_router()
//! ```

use std::{
    convert::Infallible,
    future::Ready,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    response::{IntoResponse, Response},
    routing::{MethodRouter, Route},
};
use futures_util::{FutureExt, future::Either};
use tower::{Layer, Service};

use crate::Error;

#[cfg(test)]
mod tests;

/// A router in the making, whose misses are answered the way Matrix answers them.
pub struct Routes<S>(Vec<(&'static str, MethodRouter<S>)>);

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    #[expect(clippy::new_without_default, reason = "an empty table is no sensible default")]
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// One path, spelled out.
    pub fn at(self, path: &'static str, methods: MethodRouter<S>) -> Self {
        self.at_each(&[path], methods)
    }

    /// Several spellings of the same endpoint: versions, and unstable names.
    pub fn at_each(mut self, paths: &[&'static str], methods: MethodRouter<S>) -> Self {
        self.0.extend(paths.iter().map(|path| (*path, methods.clone())));
        self
    }

    /// Adds another table, whose paths must not be in this one.
    pub fn merge(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
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
        let behind = |(path, methods): (_, MethodRouter<S>)| (path, methods.layer(layer.clone()));
        Self(self.0.into_iter().map(behind).collect())
    }

    /// The finished router: unknown paths answer 404, known ones with a wrong method 405, both
    /// `M_UNRECOGNIZED`.
    ///
    /// <https://spec.matrix.org/v1.19/client-server-api/#common-error-codes>
    pub fn into_router(self) -> Router<S> {
        let add = |router: Router<S>, (path, methods)| router.route(path, methods);
        with_misses(self.0.into_iter().fold(Router::new(), add))
    }

    /// The same for any number of states, which would each need a router of their own: every request
    /// brings its state, as an extension.
    pub fn into_shared_router(self) -> Router {
        let add = |router: Router, (path, methods): (_, MethodRouter<S>)| {
            let methods = methods.fallback(wrong_method);
            router.route_service(path, Shared(Arc::new(methods)))
        };
        with_misses(self.0.into_iter().fold(Router::new(), add))
    }
}

fn with_misses<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.method_not_allowed_fallback(wrong_method).fallback(async || Error::unrecognized())
}

async fn wrong_method() -> Error {
    Error::wrong_method()
}

/// One path, for whichever state the request brings.
struct Shared<S>(Arc<MethodRouter<S>>);

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// As the methods answer, or at once.
type Answering<F> = Either<futures_util::future::Map<F, fn(Response) -> Answer>, Ready<Answer>>;
type Answer = Result<Response, Infallible>;

impl<S: Clone + Send + Sync + 'static> Service<Request> for Shared<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<<MethodRouter<S> as Handler<(), S>>::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Some(state) = request.extensions().get::<S>().cloned() else {
            let error = Error::internal("a request without the state of its router");
            return Either::Right(std::future::ready(Ok(error.into_response())));
        };
        let answer: fn(Response) -> Answer = Ok;
        Either::Left(Handler::call((*self.0).clone(), request, state).map(answer))
    }
}

//! From a request to the homeserver that it is for.
//!
//! A client means the homeserver whose name it connects to; another server says whom it means in
//! its signature. Where there is only one homeserver, clients that know it by any name reach it.

use std::{
    convert::identity,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use federation::{Federation, inbound};
use futures_util::FutureExt;
use http::{
    HeaderMap, Method, StatusCode, Uri,
    header::{ALLOW, AUTHORIZATION, HOST},
};
use ruma::{OwnedServerName, ServerName, api::federation::authentication::XMatrix};
use tower::ServiceExt;
use web::{Error, Routes, cors};

use super::{App, Homeservers, OpenError};
use crate::{
    client::{self, versions, well_known},
    http::{Origin, TrustedProxies, origin},
};

/// What is answered before it is known which homeserver is meant.
const OF_PROCESS: [&str; 3] =
    ["/_matrix/client/versions", "/.well-known/matrix/client", "/.well-known/matrix/server"];

/// Everything that the listeners serve. One plain function in front of the homeservers' routers:
/// each layer would be a box of its own, for as long as a request waits.
pub(crate) fn router(homeservers: Arc<Homeservers>) -> Router {
    let proxies = TrustedProxies::new(&homeservers.shared().config.http.trusted_proxies);
    let [versions, client, server] = OF_PROCESS;
    let of_process = Routes::new()
        .at(versions, axum::routing::get(versions::get_supported_versions))
        .at(client, axum::routing::get(well_known::discover_homeserver))
        .at(server, axum::routing::get(well_known::discover_server))
        .into_router();
    let (client, federation) = (client::router(), inbound::router());
    let front = Arc::new(Front { homeservers, proxies, of_process, client, federation });
    Router::new().fallback(Front::serve).with_state(front)
}

struct Front {
    homeservers: Arc<Homeservers>,
    proxies: TrustedProxies,
    of_process: Router,
    client: Router,
    federation: Router,
}

impl Front {
    async fn serve(State(front): State<Arc<Self>>, mut request: Request) -> Response {
        origin::find(&front.proxies, &mut request);
        if is_federation(&request) {
            // Browsers have no business with the Server-Server API.
            return front.dispatch(request).await;
        }
        cors::allow_every_origin(match cors::preflight(&request) {
            Some(answer) => answer,
            None => front.dispatch(request).await,
        })
    }

    async fn dispatch(&self, mut request: Request) -> Response {
        modernize(&mut request);
        if OF_PROCESS.contains(&request.uri().path()) {
            request.extensions_mut().insert(Arc::clone(&self.homeservers));
            return answer(self.of_process.clone(), request).await;
        }
        match choose(&self.homeservers, &request) {
            Ok(Some(name)) if is_federation(&request) => {
                answer_of(
                    self.homeservers.get(&name).await,
                    of_federation,
                    &self.federation,
                    request,
                )
                .await
            }
            Ok(Some(name)) => {
                answer_of(self.homeservers.get(&name).await, identity, &self.client, request).await
            }
            Ok(None) => {
                let (method, uri) = (request.method().clone(), request.uri().clone());
                self.misdirected(&method, uri).await
            }
            Err(refusal) => refusal.into_response(),
        }
    }

    /// What the Server-Server API of a homeserver that is not here answers: that it has no such
    /// path, or no such method there. Nothing of the request is done.
    async fn misdirected(&self, method: &Method, uri: Uri) -> Response {
        let mut probe = Request::new(Body::empty());
        *probe.method_mut() = Method::OPTIONS;
        *probe.uri_mut() = uri;
        let Some(any) = self.homeservers.only() else {
            return Error::unrecognized().into_response();
        };
        let found = self.homeservers.get(&any).await;
        let answer = answer_of(found, of_federation, &self.federation, probe).await;
        let allowed = answer.headers().get(ALLOW).and_then(|allowed| allowed.to_str().ok());
        let is_allowed = allowed.is_none_or(|allowed| {
            allowed.split(',').any(|allowed| allowed.trim() == method.as_str())
        });
        match answer.status() {
            StatusCode::METHOD_NOT_ALLOWED if !is_allowed => answer,
            _ => Error::unrecognized().into_response(),
        }
    }
}

/// The homeserver that a client means.
pub(crate) fn of_client(homeservers: &Homeservers, origin: &Origin) -> Option<OwnedServerName> {
    named(homeservers, origin).or_else(|| homeservers.only())
}

/// The homeserver that another server means.
fn of_server(
    homeservers: &Homeservers,
    origin: &Origin,
    headers: &HeaderMap,
) -> Option<OwnedServerName> {
    let destination = headers
        .get(AUTHORIZATION)
        .and_then(|value| XMatrix::try_from(value).ok()?.destination)
        .and_then(|destination| homeservers.named(destination.as_str()));
    // Never the only one for want of a better: its keys would be taken for another server's.
    destination.or_else(|| named(homeservers, origin))
}

fn named(homeservers: &Homeservers, origin: &Origin) -> Option<OwnedServerName> {
    let find = |name: &Option<String>| homeservers.named(name.as_deref()?);
    find(&origin.host).or_else(|| find(&origin.tls_name))
}

/// The Server-Server API of whichever homeserver of this process the host header names: what they
/// ask of each other comes this way.
pub(super) fn siblings(homeservers: Weak<Homeservers>) -> Router {
    let router = inbound::router();
    Router::new().fallback(async move |request: Request| {
        let Some(homeservers) = homeservers.upgrade() else {
            return Error::unrecognized().into_response();
        };
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        match host.and_then(|host| <&ServerName>::try_from(host).ok()) {
            Some(name) => {
                answer_of(homeservers.get(name).await, of_federation, &router, request).await
            }
            None => Error::unrecognized().into_response(),
        }
    })
}

/// The homeserver that the request means, if it may ask it; `None` if another server means one that
/// is not here.
fn choose(homeservers: &Homeservers, request: &Request) -> Result<Option<OwnedServerName>, Error> {
    let origin = request.extensions().get::<Origin>();
    let origin = origin.ok_or_else(|| Error::internal("a request without an origin"))?;
    let unknown = || Error::not_found("There is no homeserver of this name here");
    if !is_federation(request) {
        return of_client(homeservers, origin).map(Some).ok_or_else(unknown);
    }
    let Some(name) = of_server(homeservers, origin, request.headers()) else { return Ok(None) };
    if !homeservers.shared().settings.federation {
        return Err(Error::unrecognized());
    }
    homeservers.shared().limits.federation(origin.address)?;
    Ok(Some(name))
}

/// The endpoints that older clients call under `r0` are those of `v3`: only the name of the version
/// changed (Matrix 1.1).
fn modernize(request: &mut Request) {
    let Some(rest) = request.uri().path().strip_prefix("/_matrix/client/r0/") else { return };
    let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
    if let Ok(uri) = format!("/_matrix/client/v3/{rest}{query}").parse() {
        *request.uri_mut() = uri;
    }
}

/// What the homeserver answers, if it is there: `state` is what the handlers of the API work with.
async fn answer_of<S: Clone + Send + Sync + 'static>(
    found: Result<Option<App>, OpenError>,
    state: fn(App) -> S,
    router: &Router,
    mut request: Request,
) -> Response {
    match found {
        Ok(Some(app)) => {
            request.extensions_mut().insert(state(app));
            answer(router.clone(), request).await
        }
        Ok(None) => Error::unrecognized().into_response(),
        Err(error) => unavailable(error).into_response(),
    }
}

fn of_federation(app: App) -> Federation {
    app.federation.clone()
}

async fn answer(router: Router, request: Request) -> Response {
    match AssertUnwindSafe(router.oneshot(request)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        // A handler that panics answers, and hurts nobody else.
        Err(_) => Error::internal("a handler panicked").into_response(),
    }
}

fn unavailable(error: OpenError) -> Error {
    Error::new(
        http::StatusCode::SERVICE_UNAVAILABLE,
        web::ErrorKind::Unknown,
        "This homeserver cannot be opened",
    )
    .caused_by(error)
}

fn is_federation(request: &Request) -> bool {
    let path = request.uri().path();
    path.starts_with("/_matrix/federation/") || path.starts_with("/_matrix/key/")
}

#[cfg(test)]
mod tests;

//! A whole process in memory, for tests: asked through the router that the listeners serve.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header::AUTHORIZATION},
    response::Response,
};
use http_body_util::BodyExt;
use kv::{Engine, MemoryEngine};
use model::{clock::ManualClock, ids::SeededIds};
use ruma::OwnedServerName;
use serde_json::Value;
use tower::ServiceExt;

use crate::{
    app::{App, Homeservers, Shared, router},
    config::{Config, HttpConfig},
    http::Listeners,
};

/// The name of the homeserver that [`TestHomeserver::new`] makes.
pub(crate) const ACME: &str = "acme.example";

/// A process with one homeserver or more, on a clock that stands still.
pub(crate) struct TestHomeserver {
    pub(crate) homeservers: Arc<Homeservers>,
    pub(crate) clock: ManualClock,
    router: Router,
    /// The host that requests are sent to.
    host: String,
    _media: tempfile::TempDir,
}

impl TestHomeserver {
    /// One homeserver, [`ACME`], without rate limits.
    pub(crate) async fn new() -> Self {
        Self::with_config("").await
    }

    /// The same with more configuration. It must not name homeservers.
    pub(crate) async fn with_config(more: &str) -> Self {
        let config = format!("[[homeserver]]\nserver_name = \"{ACME}\"\n{more}\n");
        Self::start(&config, Arc::new(MemoryEngine::new(store::TABLES))).await
    }

    /// The same, and with rate limits.
    pub(crate) async fn with_limits(more: &str) -> Self {
        let config = format!("[[homeserver]]\nserver_name = \"{ACME}\"\n{more}\n");
        Self::with(&config, Arc::new(MemoryEngine::new(store::TABLES)), true).await
    }

    /// A process with this configuration, on this engine: for tests that start it again.
    pub(crate) async fn start(config: &str, engine: Arc<dyn Engine>) -> Self {
        Self::with(config, engine, false).await
    }

    async fn with(config: &str, engine: Arc<dyn Engine>, limits: bool) -> Self {
        let media = tempfile::tempdir().unwrap();
        let environment = [
            ("KONTOR__DATA_DIR", media.path().to_str().unwrap()),
            ("KONTOR__RATE_LIMITS__ENABLED", if limits { "true" } else { "false" }),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::parse(config, environment.into_iter()).unwrap();
        let clock = ManualClock::default();
        let ids = Arc::new(SeededIds::new(1));
        let shared = Shared::new(config, engine, Arc::new(clock.clone()), ids).unwrap();
        let homeservers = Homeservers::start(shared).await.unwrap();
        let router = router(homeservers.clone());
        Self { homeservers, clock, router, host: ACME.to_owned(), _media: media }
    }

    /// The homeserver itself.
    pub(crate) async fn app(&self) -> App {
        let name = OwnedServerName::try_from(self.host.clone()).unwrap();
        self.homeservers.get(&name).await.unwrap().unwrap()
    }

    /// Serves over HTTP until it drains. Whoever waits for news is parked at once.
    pub(crate) async fn listen(&self) -> SocketAddr {
        let Shared { config, drain, .. } = &**self.homeservers.shared();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = HttpConfig { listen: vec![any_port], ..config.http.clone() };
        let listeners = Listeners::bind(&config, Duration::ZERO).await.unwrap();
        let address = listeners.plain_addresses()[0];
        tokio::spawn(listeners.serve(self.router.clone(), drain.clone()));
        address
    }

    /// `GET path`: status and body.
    pub(crate) async fn get(&self, path: &str, token: &str) -> (StatusCode, Value) {
        self.ask("GET", path, token, Value::Null).await
    }

    /// Any method, path, access token (empty: none) and JSON body (null: none).
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.host);
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request.body(body).unwrap()).await
    }

    /// Any request, and the response as it is.
    pub(crate) async fn respond(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Any request. A body that is no JSON is null.
    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.respond(request).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

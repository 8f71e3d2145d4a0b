//! The part of the Docker API that Complement uses: route table, and the parameters and answers of
//! images, networks and the engine itself.
//!
//! <https://docs.docker.com/reference/api/engine/>

mod containers;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::StatusCode,
    response::IntoResponse,
    routing::{delete, get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    engine::Engine,
    error::Error,
    labels::{Labels, Selection},
};

/// What clients negotiate down to.
const API_VERSION: &str = "1.44";
const ARCHIVE_BYTES_MAX: usize = 64 << 20;

type Shared = State<Arc<Engine>>;

/// Every path, with and without the version before it.
pub(crate) fn router(engine: Arc<Engine>) -> Router {
    let api = Router::new()
        .route("/_ping", get(ping).head(ping))
        .route("/containers/json", get(containers::list))
        .route("/containers/create", post(containers::create))
        .route("/containers/{id}", delete(containers::remove))
        .route("/containers/{id}/json", get(containers::inspect))
        .route("/containers/{id}/start", post(containers::start))
        .route("/containers/{id}/stop", post(containers::stop))
        .route("/containers/{id}/kill", post(containers::kill))
        .route("/containers/{id}/pause", post(containers::pause))
        .route("/containers/{id}/unpause", post(containers::unpause))
        .route("/containers/{id}/logs", get(containers::logs))
        .route("/containers/{id}/archive", put(containers::upload))
        .route("/commit", post(containers::commit))
        .route("/images/json", get(list_images))
        .route("/images/{*id}", delete(remove_image))
        .route("/networks", get(list_networks))
        .route("/networks/create", post(create_network))
        .route("/networks/{id}", delete(remove_network));
    Router::new()
        .nest("/{version}", api.clone())
        .merge(api)
        .fallback(async || Error::NotFound("operation", "not a part of Docker that is here".into()))
        .layer(DefaultBodyLimit::max(ARCHIVE_BYTES_MAX))
        .with_state(engine)
}

async fn ping() -> impl IntoResponse {
    ([("Api-Version", API_VERSION), ("Ostype", "linux")], "OK")
}

/// The object that a path names, with or without a version before it.
#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct Listing {
    filters: Option<String>,
    /// `1` or `true`: also what does not run.
    #[serde(default)]
    all: String,
}

async fn list_images(
    State(engine): Shared,
    Query(listing): Query<Listing>,
) -> Result<Json<Vec<Value>>, Error> {
    let selection = Selection::parse(listing.filters.as_deref())?;
    let images = engine.world().images(&selection).into_iter().map(|image| {
        let id = format!("sha256:{}", image.id);
        json!({ "Id": id, "RepoTags": [image.reference], "Labels": image.labels })
    });
    Ok(Json(images.collect()))
}

async fn remove_image(
    State(engine): Shared,
    Path(Named { id }): Path<Named>,
) -> Result<Json<Value>, Error> {
    let id = engine.remove_image(&id).await?;
    Ok(Json(json!([{ "Deleted": format!("sha256:{id}") }])))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewNetwork {
    name: String,
    labels: Option<Labels>,
}

async fn create_network(
    State(engine): Shared,
    Json(network): Json<NewNetwork>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let labels = network.labels.unwrap_or_default();
    let id = engine.create_network(network.name, labels).await?;
    Ok((StatusCode::CREATED, Json(json!({ "Id": id, "Warning": "" }))))
}

async fn list_networks(
    State(engine): Shared,
    Query(listing): Query<Listing>,
) -> Result<Json<Vec<Value>>, Error> {
    let selection = Selection::parse(listing.filters.as_deref())?;
    let world = engine.world();
    let networks = world
        .networks(&selection)
        .map(|network| json!({ "Id": network.id, "Name": network.name, "Labels": network.labels }));
    Ok(Json(networks.collect()))
}

async fn remove_network(
    State(engine): Shared,
    Path(Named { id }): Path<Named>,
) -> Result<StatusCode, Error> {
    engine.world().remove_network(&id)?;
    Ok(StatusCode::NO_CONTENT)
}

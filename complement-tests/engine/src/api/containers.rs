//! Containers, from creation to commit.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, RawQuery, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Listing, Named, Shared};
use crate::{
    engine::Plan,
    error::Error,
    labels::{Labels, Selection},
    world::Container,
};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
pub(super) struct CreateQuery {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewContainer {
    image: String,
    env: Option<Vec<String>>,
    labels: Option<Labels>,
    host_config: Option<HostConfig>,
    networking_config: Option<NetworkingConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    extra_hosts: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkingConfig {
    endpoints_config: BTreeMap<String, Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    aliases: Option<Vec<String>>,
}

pub(super) async fn create(
    State(engine): Shared,
    Query(CreateQuery { name }): Query<CreateQuery>,
    Json(new): Json<NewContainer>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let endpoints = new.networking_config.map(|config| config.endpoints_config);
    let (network, endpoint) = endpoints
        .and_then(|mut endpoints| endpoints.pop_first())
        .ok_or_else(|| Error::Misunderstood("a container needs a network".to_owned()))?;
    let environment = new.env.unwrap_or_default();
    let hosts = new.host_config.and_then(|config| config.extra_hosts).unwrap_or_default();
    let id = engine
        .create(Plan {
            name,
            image: new.image,
            labels: new.labels.unwrap_or_default(),
            environment: environment
                .iter()
                .filter_map(|pair| owned(pair.split_once('=')))
                .collect(),
            network,
            aliases: endpoint.aliases.unwrap_or_default(),
            host_names: hosts.iter().filter_map(|host| host_name(host)).collect(),
        })
        .await?;
    Ok((StatusCode::CREATED, Json(json!({ "Id": id, "Warnings": [] }))))
}

fn owned(pair: Option<(&str, &str)>) -> Option<(String, String)> {
    pair.map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// `host.docker.internal:host-gateway` is a name of this machine.
fn host_name(host: &str) -> Option<String> {
    host.strip_suffix(":host-gateway").map(str::to_owned)
}

pub(super) async fn list(
    State(engine): Shared,
    Query(listing): Query<Listing>,
) -> Result<Json<Vec<Value>>, Error> {
    let selection = Selection::parse(listing.filters.as_deref())?;
    let all = matches!(listing.all.as_str(), "1" | "true");
    let containers = engine.world().containers(&selection, all).into_iter().map(|container| {
        json!({
            "Id": container.id,
            "Names": [format!("/{}", container.name)],
            "Image": container.image,
            "Labels": container.labels,
            "State": container.state.name(),
        })
    });
    Ok(Json(containers.collect()))
}

pub(super) async fn inspect(
    State(engine): Shared,
    Path(Named { id }): Path<Named>,
) -> Result<Json<Value>, Error> {
    Ok(Json(describe(&engine.inspect(&id).await?)))
}

fn describe(container: &Container) -> Value {
    let state = container.state;
    let binding = |port: u16| json!([{ "HostIp": "127.0.0.1", "HostPort": port.to_string() }]);
    let ports = container.ports.map_or_else(
        || json!({}),
        |ports| json!({ "8008/tcp": binding(ports.clients), "8448/tcp": binding(ports.federation) }),
    );
    let environment: Vec<String> =
        container.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
    json!({
        "Id": container.id,
        "Name": format!("/{}", container.name),
        "Image": container.image,
        "State": {
            "Status": state.name(),
            "Running": state.is_running(),
            "Paused": state == crate::world::State::Paused,
        },
        "Config": { "Image": container.image, "Env": environment, "Labels": container.labels },
        "NetworkSettings": { "Ports": ports },
    })
}

pub(super) async fn start(
    State(engine): Shared,
    Path(Named { id }): Path<Named>,
) -> Result<StatusCode, Error> {
    engine.start(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(super) struct StopQuery {
    /// Seconds.
    t: Option<u64>,
}

pub(super) async fn stop(
    State(engine): Shared,
    Path(Named { id }): Path<Named>,
    Query(query): Query<StopQuery>,
) -> Result<StatusCode, Error> {
    engine.stop(&id, query.t.map_or(PATIENCE, Duration::from_secs)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(super) struct KillQuery {
    signal: Option<String>,
}

pub(super) async fn kill(
    State(engine): Shared,
    Path(Named { id }): Path<Named>,
    Query(query): Query<KillQuery>,
) -> Result<StatusCode, Error> {
    match query.signal.as_deref() {
        None | Some("" | "KILL" | "SIGKILL") => engine.kill(&id).await?,
        Some("TERM" | "SIGTERM") => engine.stop(&id, PATIENCE).await?,
        Some(other) => {
            return Err(Error::Misunderstood(format!("the signal {other} is not known here")));
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn pause(
    State(engine): Shared,
    Path(Named { id }): Path<Named>,
) -> Result<StatusCode, Error> {
    engine.pause(&id, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn unpause(
    State(engine): Shared,
    Path(Named { id }): Path<Named>,
) -> Result<StatusCode, Error> {
    engine.pause(&id, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(super) struct RemoveQuery {
    #[serde(default)]
    force: String,
}

pub(super) async fn remove(
    State(engine): Shared,
    Path(Named { id }): Path<Named>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode, Error> {
    engine.remove(&id, matches!(query.force.as_str(), "1" | "true")).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(super) struct UploadQuery {
    path: String,
}

pub(super) async fn upload(
    State(engine): Shared,
    Path(Named { id }): Path<Named>,
    Query(UploadQuery { path }): Query<UploadQuery>,
    archive: Bytes,
) -> Result<StatusCode, Error> {
    engine.upload(&id, &path, &archive)?;
    Ok(StatusCode::OK)
}

pub(super) async fn logs(
    State(engine): Shared,
    Path(Named { id }): Path<Named>,
) -> Result<impl IntoResponse, Error> {
    let log = engine.log(&id)?;
    Ok(([(CONTENT_TYPE, "application/vnd.docker.multiplexed-stream")], frames(&log)))
}

/// Both streams come as one: each piece has its stream (2 is stderr) and its length before it.
fn frames(log: &[u8]) -> Vec<u8> {
    const STDERR: u8 = 2;
    const PIECE_BYTES: usize = 64 << 10;
    let mut framed = Vec::with_capacity(log.len() + 8);
    for piece in log.chunks(PIECE_BYTES) {
        let length = u32::try_from(piece.len()).unwrap_or(0).to_be_bytes();
        framed.extend([STDERR, 0, 0, 0]);
        framed.extend(length);
        framed.extend(piece);
    }
    framed
}

/// `changes` comes several times, which `Query` does not read.
pub(super) async fn commit(
    State(engine): Shared,
    RawQuery(query): RawQuery,
) -> Result<(StatusCode, Json<Value>), Error> {
    let query: Vec<(String, String)> = pairs(query.as_deref().unwrap_or_default());
    let all = |key: &'static str| {
        query.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let one = |key| all(key).next().unwrap_or_default();
    let reference = match (one("repo"), one("tag")) {
        (repository, tag) if tag.is_empty() => repository,
        (repository, tag) => format!("{repository}:{tag}"),
    };
    let changes: Vec<String> = all("changes").collect();
    let id = engine.commit(&one("container"), reference, &changes).await?;
    Ok((StatusCode::CREATED, Json(json!({ "Id": format!("sha256:{id}") }))))
}

fn pairs(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[cfg(test)]
mod tests {
    //! The form in which logs go out.

    use super::frames;

    #[test]
    fn a_log_is_framed_in_pieces() {
        let framed = frames(&vec![b'x'; (64 << 10) + 1]);
        assert_eq!(framed[..8], [2, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(framed[8 + (64 << 10)..], [2, 0, 0, 0, 0, 0, 0, 1, b'x']);
        assert!(frames(b"").is_empty());
    }
}

//! `/room_keys`: backups of room keys.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups>

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{FromRequestParts, Path};
use bytes::Bytes;
use http::{StatusCode, request::Parts};
use ruma::api::error::WrongRoomKeysVersionErrorData;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use services::key_backups::{BackupError, BackupInfo, SessionId};
use web::{ErrorKind, Json, JsonBody};

use super::{account_data::raw, caller::Caller, error::Error};
use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct BackupBody {
    algorithm: String,
    auth_data: Box<RawValue>,
    /// If it is given on an update, it must be the one in the path.
    version: Option<String>,
}

/// `POST /_matrix/client/v3/room_keys/version`
pub(crate) async fn create_backup_version(
    Extension(app): Extension<App>,
    caller: Caller,
    JsonBody(body): JsonBody<BackupBody>,
) -> Result<Json<Value>, Error> {
    let auth_data = body.auth_data.get().to_owned();
    let version = app.services.key_backups.create(&caller, body.algorithm, auth_data).await?;
    Ok(Json(json!({ "version": version.to_string() })))
}

/// `GET /_matrix/client/v3/room_keys/version`
pub(crate) async fn get_latest_backup_info(
    Extension(app): Extension<App>,
    caller: Caller,
) -> Result<Json<Value>, Error> {
    info(app.services.key_backups.get(&caller, None).await?)
}

/// `GET /_matrix/client/v3/room_keys/version/{version}`
pub(crate) async fn get_backup_info(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(version): Path<String>,
) -> Result<Json<Value>, Error> {
    info(app.services.key_backups.get(&caller, Some(parse(&version)?)).await?)
}

/// `PUT /_matrix/client/v3/room_keys/version/{version}`
pub(crate) async fn update_backup_version(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(version): Path<String>,
    JsonBody(body): JsonBody<BackupBody>,
) -> Result<Json<Value>, Error> {
    if body.version.is_some_and(|other| other != version) {
        return Err(BackupError::OtherAlgorithm.into());
    }
    let (version, auth_data) = (parse(&version)?, body.auth_data.get().to_owned());
    app.services.key_backups.update(&caller, version, body.algorithm, auth_data).await?;
    Ok(Json(json!({})))
}

/// `DELETE /_matrix/client/v3/room_keys/version/{version}`
pub(crate) async fn delete_backup_version(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(version): Path<String>,
) -> Result<Json<Value>, Error> {
    app.services.key_backups.delete(&caller, parse(&version)?).await?;
    Ok(Json(json!({})))
}

/// The backup that the query names.
pub(crate) struct OfVersion(u64);

impl<S: Send + Sync> FromRequestParts<S> for OfVersion {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let version = url::form_urlencoded::parse(query).find(|(name, _)| name == "version");
        let missing = || web::Error::missing_param("The query names no version of the backup");
        let (_, version) = version.ok_or_else(missing)?;
        Ok(Self(parse(&version)?))
    }
}

type Key = Map<String, Value>;

#[derive(Deserialize)]
pub(crate) struct RoomBody {
    sessions: BTreeMap<String, Key>,
}

#[derive(Deserialize)]
pub(crate) struct RoomsBody {
    rooms: BTreeMap<String, RoomBody>,
}

/// `PUT /_matrix/client/v3/room_keys/keys`
pub(crate) async fn add_backup_keys(
    Extension(app): Extension<App>,
    caller: Caller,
    OfVersion(version): OfVersion,
    JsonBody(body): JsonBody<RoomsBody>,
) -> Result<Json<Value>, Error> {
    let keys = body.rooms.into_iter().flat_map(|(room, body)| of_room(&room, body));
    put(&app, &caller, version, keys.collect()).await
}

/// `PUT /_matrix/client/v3/room_keys/keys/{roomId}`
pub(crate) async fn add_backup_keys_for_room(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(room_id): Path<String>,
    OfVersion(version): OfVersion,
    JsonBody(body): JsonBody<RoomBody>,
) -> Result<Json<Value>, Error> {
    put(&app, &caller, version, of_room(&room_id, body)).await
}

/// `PUT /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
pub(crate) async fn add_backup_keys_for_session(
    Extension(app): Extension<App>,
    caller: Caller,
    Path((room_id, session_id)): Path<(String, String)>,
    OfVersion(version): OfVersion,
    JsonBody(key): JsonBody<Key>,
) -> Result<Json<Value>, Error> {
    put(&app, &caller, version, vec![(SessionId { room_id, session_id }, key)]).await
}

fn of_room(room_id: &str, body: RoomBody) -> Vec<(SessionId, Key)> {
    let room_id = room_id.to_owned();
    let id = |session_id| SessionId { room_id: room_id.clone(), session_id };
    body.sessions.into_iter().map(|(session_id, key)| (id(session_id), key)).collect()
}

async fn put(
    app: &App,
    caller: &Caller,
    version: u64,
    keys: Vec<(SessionId, Key)>,
) -> Result<Json<Value>, Error> {
    let backups = &app.services.key_backups;
    Ok(changed(backups.put_keys(caller, version, keys).await?))
}

/// `GET /_matrix/client/v3/room_keys/keys`
pub(crate) async fn get_backup_keys(
    Extension(app): Extension<App>,
    caller: Caller,
    OfVersion(version): OfVersion,
) -> Result<Json<Value>, Error> {
    let keys = app.services.key_backups.keys(&caller, version, None).await?;
    Ok(Json(json!({ "rooms": by_room(keys)? })))
}

/// `GET /_matrix/client/v3/room_keys/keys/{roomId}`
pub(crate) async fn get_backup_keys_for_room(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(room_id): Path<String>,
    OfVersion(version): OfVersion,
) -> Result<Json<Value>, Error> {
    let keys = app.services.key_backups.keys(&caller, version, Some(room_id.clone())).await?;
    let mut rooms = by_room(keys)?;
    Ok(Json(rooms.remove(&room_id).unwrap_or_else(|| json!({ "sessions": {} }))))
}

/// `GET /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
pub(crate) async fn get_backup_keys_for_session(
    Extension(app): Extension<App>,
    caller: Caller,
    Path((room_id, session_id)): Path<(String, String)>,
    OfVersion(version): OfVersion,
) -> Result<Json<Box<RawValue>>, Error> {
    let id = SessionId { room_id, session_id };
    let key = app.services.key_backups.key(&caller, version, id).await?;
    raw(&key.ok_or_else(|| web::Error::not_found("There is no such key"))?).map(Json)
}

fn by_room(keys: Vec<(SessionId, Bytes)>) -> Result<Map<String, Value>, Error> {
    let mut rooms = Map::new();
    for (SessionId { room_id, session_id }, key) in keys {
        let key: Value = serde_json::from_slice(&key).map_err(web::Error::internal)?;
        let room = rooms.entry(room_id).or_insert_with(|| json!({ "sessions": {} }));
        room["sessions"][session_id] = key;
    }
    Ok(rooms)
}

/// `DELETE /_matrix/client/v3/room_keys/keys`
pub(crate) async fn delete_backup_keys(
    Extension(app): Extension<App>,
    caller: Caller,
    OfVersion(version): OfVersion,
) -> Result<Json<Value>, Error> {
    Ok(changed(app.services.key_backups.delete_keys(&caller, version, None, None).await?))
}

/// `DELETE /_matrix/client/v3/room_keys/keys/{roomId}`
pub(crate) async fn delete_backup_keys_for_room(
    Extension(app): Extension<App>,
    caller: Caller,
    Path(room): Path<String>,
    OfVersion(version): OfVersion,
) -> Result<Json<Value>, Error> {
    Ok(changed(app.services.key_backups.delete_keys(&caller, version, Some(room), None).await?))
}

/// `DELETE /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}`
pub(crate) async fn delete_backup_keys_for_session(
    Extension(app): Extension<App>,
    caller: Caller,
    Path((room, session)): Path<(String, String)>,
    OfVersion(version): OfVersion,
) -> Result<Json<Value>, Error> {
    let backups = &app.services.key_backups;
    Ok(changed(backups.delete_keys(&caller, version, Some(room), Some(session)).await?))
}

fn info(info: BackupInfo) -> Result<Json<Value>, Error> {
    Ok(Json(json!({
        "version": info.version.to_string(),
        "algorithm": info.algorithm,
        "auth_data": raw(info.auth_data.as_bytes())?,
        "count": info.count,
        "etag": info.etag.to_string(),
    })))
}

fn changed((count, etag): (u64, u64)) -> Json<Value> {
    Json(json!({ "count": count, "etag": etag.to_string() }))
}

/// A version that is no number was never given out.
fn parse(version: &str) -> Result<u64, BackupError> {
    version.parse().map_err(|_| BackupError::UnknownBackup)
}

impl From<BackupError> for Error {
    fn from(error: BackupError) -> Self {
        match &error {
            BackupError::UnknownBackup => web::Error::not_found(error.to_string()).into(),
            BackupError::WrongVersion { current } => {
                let data = WrongRoomKeysVersionErrorData { current_version: current.to_string() };
                let kind = ErrorKind::WrongRoomKeysVersion(data);
                web::Error::new(StatusCode::FORBIDDEN, kind, error.to_string()).into()
            }
            BackupError::OtherAlgorithm => web::Error::invalid_param(error.to_string()).into(),
            BackupError::TooLong => web::Error::too_large(error.to_string()).into(),
            BackupError::Read(error) => error.clone().into(),
            BackupError::Commit(error) => error.clone().into(),
        }
    }
}

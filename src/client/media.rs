//! Files: upload, download, thumbnails.
//!
//! The endpoints of old want no access token. Who shows one all the same, as many clients do, is
//! served; to others they are frozen: they answer that there is nothing, unless the operator still
//! wants them for files of this homeserver.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#content-repository>

use std::time::Duration;

use axum::{Extension, extract::Request, response::Response};
use http::{HeaderMap, StatusCode, header, request::Parts};
use ruma::{
    ServerName, UInt,
    api::client::authenticated_media::{
        get_content, get_content_as_filename, get_content_thumbnail,
    },
    media::Method as WireMethod,
};
use serde_json::{Value, json};
use services::media::{Address, DownloadError, Method, Offer, ThumbnailRequest};
use web::{ErrorKind, Json, Matrix};

use super::{caller::Caller, error::Error};
use crate::app::{Act, App};

mod error;
mod serve;
#[cfg(test)]
mod tests;

use serve::{Naming, serve};

/// `GET /_matrix/client/v1/media/config`
pub(crate) async fn get_media_config(Extension(app): Extension<App>, _: Caller) -> Json<Value> {
    Json(json!({ "m.upload.size": app.services.media.settings().upload_bytes_max }))
}

/// `POST /_matrix/media/v3/upload`
pub(crate) async fn create_content(
    Extension(app): Extension<App>,
    caller: Caller,
    request: Request,
) -> Result<Json<Value>, Error> {
    may_upload(&app, &caller)?;
    let (head, body) = request.into_parts();
    let body = serve::receive(body);
    let address = app.services.media.upload(caller.localpart(), offer(&head), body).await?;
    Ok(Json(json!({ "content_uri": address.to_string() })))
}

/// `POST /_matrix/media/v1/create`
pub(crate) async fn create_mxc_uri(
    Extension(app): Extension<App>,
    caller: Caller,
) -> Result<Json<Value>, Error> {
    may_upload(&app, &caller)?;
    let (address, until_ms) = app.services.media.create(caller.localpart()).await?;
    Ok(Json(json!({ "content_uri": address.to_string(), "unused_expires_at": until_ms })))
}

/// `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}`
pub(crate) async fn create_content_async(
    Extension(app): Extension<App>,
    caller: Caller,
    axum::extract::Path((server, media_id)): axum::extract::Path<(String, String)>,
    request: Request,
) -> Result<Json<Value>, Error> {
    may_upload(&app, &caller)?;
    let address = Address::new(&server, &media_id).ok_or(DownloadError::NotFound)?;
    let (head, body) = request.into_parts();
    let (offer, body) = (offer(&head), serve::receive(body));
    app.services.media.fill(caller.localpart(), &address, offer, body).await?;
    Ok(Json(json!({})))
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`
pub(crate) async fn get_content(
    Extension(app): Extension<App>,
    _: Caller,
    headers: HeaderMap,
    Matrix(request): Matrix<get_content::v1::Request>,
) -> Result<Response, Error> {
    let address = address(&request.server_name, &request.media_id)?;
    download(&app, &address, request.timeout_ms, Naming::AsStored, &headers).await
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}`
pub(crate) async fn get_content_as_filename(
    Extension(app): Extension<App>,
    _: Caller,
    headers: HeaderMap,
    Matrix(request): Matrix<get_content_as_filename::v1::Request>,
) -> Result<Response, Error> {
    let address = address(&request.server_name, &request.media_id)?;
    let naming = Naming::As(request.filename);
    download(&app, &address, request.timeout_ms, naming, &headers).await
}

/// `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}`
pub(crate) async fn get_content_thumbnail(
    Extension(app): Extension<App>,
    _: Caller,
    headers: HeaderMap,
    Matrix(request): Matrix<get_content_thumbnail::v1::Request>,
) -> Result<Response, Error> {
    thumbnail(&app, request, &headers).await
}

/// `GET /_matrix/media/v3/download/{serverName}/{mediaId}`; without a token
pub(crate) async fn get_content_frozen(
    Extension(app): Extension<App>,
    caller: Result<Caller, Error>,
    headers: HeaderMap,
    Matrix(request): Matrix<get_content::v1::Request>,
) -> Result<Response, Error> {
    let address = open_address(&app, caller.is_ok(), &request.server_name, &request.media_id)?;
    download(&app, &address, request.timeout_ms, Naming::AsStored, &headers).await
}

/// `GET /_matrix/media/v3/download/{serverName}/{mediaId}/{fileName}`; without a token
pub(crate) async fn get_content_as_filename_frozen(
    Extension(app): Extension<App>,
    caller: Result<Caller, Error>,
    headers: HeaderMap,
    Matrix(request): Matrix<get_content_as_filename::v1::Request>,
) -> Result<Response, Error> {
    let address = open_address(&app, caller.is_ok(), &request.server_name, &request.media_id)?;
    let naming = Naming::As(request.filename);
    download(&app, &address, request.timeout_ms, naming, &headers).await
}

/// `GET /_matrix/media/v3/thumbnail/{serverName}/{mediaId}`; without a token
pub(crate) async fn get_content_thumbnail_frozen(
    Extension(app): Extension<App>,
    caller: Result<Caller, Error>,
    headers: HeaderMap,
    Matrix(request): Matrix<get_content_thumbnail::v1::Request>,
) -> Result<Response, Error> {
    open_address(&app, caller.is_ok(), &request.server_name, &request.media_id)?;
    thumbnail(&app, request, &headers).await
}

async fn download(
    app: &App,
    address: &Address,
    wait: Duration,
    naming: Naming,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let stored = app.services.media.find(address, wait).await?;
    serve(app, stored, naming, headers).await
}

async fn thumbnail(
    app: &App,
    request: get_content_thumbnail::v1::Request,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let address = address(&request.server_name, &request.media_id)?;
    let wanted = ThumbnailRequest {
        width: side(request.width)?,
        height: side(request.height)?,
        method: match request.method {
            Some(WireMethod::Crop) => Method::Crop,
            _ => Method::Scale,
        },
        animated: request.animated == Some(true),
    };
    let thumbnail = app.services.media.thumbnail(&address, wanted, request.timeout_ms).await;
    let local = *request.server_name == *app.server_name;
    let thumbnail = thumbnail.map_err(|refused| error::no_thumbnail(refused, local))?;
    serve(app, thumbnail, Naming::Inline, headers).await
}

/// Suspended users may read, not write.
fn may_upload(app: &App, caller: &Caller) -> Result<(), Error> {
    if caller.suspended {
        let why = "Your account is suspended";
        return Err(web::Error::new(StatusCode::FORBIDDEN, ErrorKind::UserSuspended, why).into());
    }
    Ok(app.limits.act(caller, Act::Upload)?)
}

/// A media id that nobody can have made is one that nobody has.
fn address(server: &ServerName, media_id: &str) -> Result<Address, Error> {
    Ok(Address::new(server.as_str(), media_id).ok_or(DownloadError::NotFound)?)
}

/// An address that may be read through the endpoints of old.
fn open_address(
    app: &App,
    is_known: bool,
    server: &ServerName,
    media_id: &str,
) -> Result<Address, Error> {
    if is_known || app.settings.unauthenticated_media && *server == *app.server_name {
        address(server, media_id)
    } else {
        Err(DownloadError::NotFound.into())
    }
}

fn side(pixels: UInt) -> Result<u32, Error> {
    match u32::try_from(u64::from(pixels)) {
        Ok(pixels @ 1..) => Ok(pixels),
        _ => Err(web::Error::invalid_param("A thumbnail must have a size").into()),
    }
}

/// What the request's head says of the file in its body.
fn offer(head: &Parts) -> Offer {
    let text = |name| head.headers.get(name)?.to_str().ok().map(ToOwned::to_owned);
    let query = head.uri.query().unwrap_or_default();
    let mut query = url::form_urlencoded::parse(query.as_bytes());
    Offer {
        content_type: text(header::CONTENT_TYPE),
        file_name: query.find(|(name, _)| name == "filename").map(|(_, value)| value.into_owned()),
        bytes: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
    }
}

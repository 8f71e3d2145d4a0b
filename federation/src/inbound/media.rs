//! Files that other servers ask for. Only our own: nobody fetches a third server's through us.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#content-repository>

use axum::{Extension, body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use ruma::{
    UInt,
    api::federation::authenticated_media::{get_content, get_content_thumbnail},
    http_headers::{ContentDisposition, ContentDispositionType},
    media::Method as WireMethod,
};
use services::media::{Address, DownloadError, Method, Stored, ThumbnailError, ThumbnailRequest};
use web::{Error, ErrorKind, Matrix};

use crate::{
    Federation,
    authorization::RemoteServer,
    media::{Outgoing, send},
};

/// `GET /_matrix/federation/v1/media/download/{mediaId}`
pub(crate) async fn get_content(
    Extension(federation): Extension<Federation>,
    _: RemoteServer,
    Matrix(request): Matrix<get_content::v1::Request>,
) -> Result<Response, Error> {
    let address = own_address(&federation, &request.media_id)?;
    let stored = federation.services.media.find_local(&address, request.timeout_ms).await;
    answer(&federation, stored.map_err(refusal)?, ContentDispositionType::Attachment).await
}

/// `GET /_matrix/federation/v1/media/thumbnail/{mediaId}`
pub(crate) async fn get_content_thumbnail(
    Extension(federation): Extension<Federation>,
    _: RemoteServer,
    Matrix(request): Matrix<get_content_thumbnail::v1::Request>,
) -> Result<Response, Error> {
    let address = own_address(&federation, &request.media_id)?;
    let wanted = ThumbnailRequest {
        width: side(request.width)?,
        height: side(request.height)?,
        method: match request.method {
            Some(WireMethod::Crop) => Method::Crop,
            _ => Method::Scale,
        },
        animated: request.animated == Some(true),
    };
    let media = &federation.services.media;
    let thumbnail = media.thumbnail(&address, wanted, request.timeout_ms).await;
    let thumbnail = thumbnail.map_err(|error| match error {
        ThumbnailError::Unsupported => Error::bad_request(
            ErrorKind::Unknown,
            "Cannot generate thumbnails for the requested content",
        ),
        ThumbnailError::TooLarge => Error::too_large("Content is too large to thumbnail"),
        ThumbnailError::Download(error) => refusal(error),
    })?;
    answer(&federation, thumbnail, ContentDispositionType::Inline).await
}

fn own_address(federation: &Federation, media_id: &str) -> Result<Address, Error> {
    let server = federation.context().server_name.as_str();
    Address::new(server, media_id).ok_or_else(|| refusal(DownloadError::NotFound))
}

fn side(pixels: UInt) -> Result<u32, Error> {
    match u32::try_from(u64::from(pixels)) {
        Ok(pixels @ 1..) => Ok(pixels),
        _ => Err(Error::invalid_param("A thumbnail must have a size")),
    }
}

async fn answer(
    federation: &Federation,
    stored: Stored,
    kind: ContentDispositionType,
) -> Result<Response, Error> {
    let body = federation.services.media.read(&stored, None).await.map_err(refusal)?;
    let disposition = ContentDisposition::new(kind).with_filename(stored.file_name);
    let file = Outgoing {
        content_type: stored.content_type,
        content_disposition: disposition.to_string(),
        bytes: stored.bytes,
        body,
    };
    let boundary = federation.context().ids.opaque_id();
    let (length, body) = send(file, &boundary);
    let mut response = Response::new(Body::from_stream(body));
    let content_type = HeaderValue::try_from(format!("multipart/mixed; boundary={boundary}"));
    let content_type = content_type.map_err(Error::internal)?;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

fn refusal(error: DownloadError) -> Error {
    match error {
        DownloadError::NotFound => Error::not_found("There is no such file"),
        DownloadError::NotYetUploaded => Error::new(
            StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::NotYetUploaded,
            "Content has not yet been uploaded",
        ),
        DownloadError::TooLarge => {
            let kind = ErrorKind::TooLarge;
            Error::new(StatusCode::BAD_GATEWAY, kind, "Content is too large to serve")
        }
        error @ (DownloadError::Unreachable(_)
        | DownloadError::Disk(_)
        | DownloadError::Store(_)
        | DownloadError::Commit(_)) => Error::internal(error),
    }
}

//! `GET /media/preview_url`: what a link leads to, asked by this server so that its users need not
//! show themselves there.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url>

use axum::Extension;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Map, Value};
use services::{
    media::Offer,
    previews::{dimensions, properties},
};
use url::Url;
use web::{
    ErrorKind, Json,
    outbound::{Answer, Call, OutboundError},
};

use super::{asked::AskedQuery, caller::Caller, error::Error};
use crate::app::{Act, App};

/// How long a page, and its picture, may take.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of a page, and of its picture.
const PAGE_BYTES_MAX: u64 = 2 << 20;
const PICTURE_BYTES_MAX: u64 = 10 << 20;

#[derive(Deserialize)]
pub(crate) struct Parameters {
    url: String,
}

/// `GET /_matrix/client/v1/media/preview_url`
pub(crate) async fn get_media_preview(
    Extension(app): Extension<App>,
    caller: Caller,
    AskedQuery(Parameters { url }): AskedQuery<Parameters>,
) -> Result<Json<Map<String, Value>>, Error> {
    let url = Url::parse(&url).map_err(|_| web::Error::invalid_param("That is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(web::Error::invalid_param("Only web pages are shown").into());
    }
    let previews = &app.services.previews;
    if let Some(preview) = previews.kept(url.as_str()) {
        return Ok(Json(preview));
    }
    app.limits.act(&caller, Act::Upload)?;
    let page = fetch(&app, &url, PAGE_BYTES_MAX).await.map_err(unavailable)?;
    let preview = match essence(&page.headers).as_str() {
        "text/html" | "application/xhtml+xml" => describe(&app, &caller, &page).await,
        kind if kind.starts_with("image/") => picture(&app, &caller, &page).await,
        _ => Map::new(),
    };
    previews.keep(url.as_str(), preview.clone());
    Ok(Json(preview))
}

async fn fetch(app: &App, url: &Url, bytes_max: u64) -> Result<Answer, OutboundError> {
    let call = Call::get(url.as_str())?.time_max(TIME_MAX).bytes_max(bytes_max);
    app.outbound.send(call.follow_redirects()).await?.success()
}

/// What a page says of itself; its picture is kept here.
async fn describe(app: &App, caller: &Caller, page: &Answer) -> Map<String, Value> {
    let found = properties(&String::from_utf8_lossy(&page.body));
    let mut preview: Map<String, Value> =
        found.into_iter().map(|(name, value)| (name, value.into())).collect();
    let wanted = preview.remove("og:image");
    let wanted = wanted.as_ref().and_then(Value::as_str).and_then(|url| page.url.join(url).ok());
    let Some(wanted) = wanted.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return preview;
    };
    match fetch(app, &wanted, PICTURE_BYTES_MAX).await {
        Ok(answer) => preview.extend(picture(app, caller, &answer).await),
        Err(error) => tracing::debug!(%error, "a preview has no picture"),
    }
    preview
}

/// Keeps a picture as one that the user uploaded, and tells of it.
async fn picture(app: &App, caller: &Caller, answer: &Answer) -> Map<String, Value> {
    let kind = essence(&answer.headers);
    let Some((width, height)) = dimensions(&answer.body) else { return Map::new() };
    let bytes = answer.body.len() as u64;
    let offer = Offer { content_type: Some(kind.clone()), file_name: None, bytes: Some(bytes) };
    let body = stream::iter([Ok::<Bytes, std::io::Error>(answer.body.clone())]).boxed();
    match app.services.media.upload(caller.localpart(), offer, body).await {
        Ok(address) => [
            ("og:image", address.to_string().into()),
            ("og:image:type", kind.into()),
            ("og:image:width", width.into()),
            ("og:image:height", height.into()),
            ("matrix:image:size", bytes.into()),
        ]
        .map(|(name, value): (_, Value)| (name.to_owned(), value))
        .into_iter()
        .collect(),
        Err(error) => {
            tracing::info!(%error, "a preview's picture is not kept");
            Map::new()
        }
    }
}

/// The media type without its parameters.
fn essence(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_lowercase()
}

fn unavailable(error: OutboundError) -> web::Error {
    let why = "The page cannot be had";
    web::Error::new(StatusCode::BAD_GATEWAY, ErrorKind::Unknown, why).caused_by(error)
}

#[cfg(test)]
mod tests;

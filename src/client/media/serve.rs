//! A stored file as an HTTP response that no browser runs anything of, and a body as a stream.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content>

use std::{io, ops::Range};

use axum::{body::Body, response::Response};
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ruma::http_headers::{ContentDisposition, ContentDispositionType};
use services::media::{ByteStream, Stored, blobs};

use crate::{app::App, client::error::Error};

/// How the file is called in `Content-Disposition`.
pub(super) enum Naming {
    /// As its uploader called it.
    AsStored,
    /// As the request wants it.
    As(String),
    /// As stored, and shown in the page: for what we made ourselves.
    Inline,
}

/// "It is RECOMMENDED that all routes ... are served with" this policy.
const POLICY: &str = "sandbox; default-src 'none'; script-src 'none'; plugin-types \
                      application/pdf; style-src 'unsafe-inline'; object-src 'self';";
/// An address never changes its content, but it may be taken out of circulation.
const CACHING: &str = "private, max-age=86400, immutable";

/// Content types that are shown in the page: what the specification allows, and no more.
const INLINE: [&str; 26] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
    "audio/x-flac",
];

/// The body of a request, piece by piece.
pub(super) fn receive(body: Body) -> ByteStream {
    body.into_data_stream().map_err(io::Error::other).boxed()
}

/// Answers with the file, with a part of it if the request asks for one, or with 304.
pub(super) async fn serve(
    app: &App,
    stored: Stored,
    naming: Naming,
    request: &HeaderMap,
) -> Result<Response, Error> {
    let tag = format!("\"{}\"", blobs::name(stored.blob));
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    guard(headers);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHING));
    headers.insert(header::ETAG, value(&tag));
    if has_already(request, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, value(&stored.content_type));
    headers.insert(header::CONTENT_DISPOSITION, value(&disposition(&stored, naming)));
    let part = match part(request, &tag, stored.bytes) {
        Part::Whole => None,
        Part::Range(range) => Some(range),
        Part::Impossible => {
            headers.insert(header::CONTENT_RANGE, value(&format!("bytes */{}", stored.bytes)));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return Ok(response);
        }
    };
    let length = part.as_ref().map_or(stored.bytes, |range| range.end - range.start);
    headers.insert(header::CONTENT_LENGTH, length.into());
    if let Some(Range { start, end }) = &part {
        let range = format!("bytes {start}-{}/{}", end - 1, stored.bytes);
        headers.insert(header::CONTENT_RANGE, value(&range));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    *response.body_mut() = Body::from_stream(app.services.media.read(&stored, part).await?);
    Ok(response)
}

/// What keeps a browser from running, framing or guessing at a file that anybody may have made.
fn guard(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

fn disposition(stored: &Stored, naming: Naming) -> String {
    let kind = match naming {
        Naming::Inline => ContentDispositionType::Inline,
        _ if may_be_inline(&stored.content_type) => ContentDispositionType::Inline,
        _ => ContentDispositionType::Attachment,
    };
    let name = match naming {
        Naming::As(name) => Some(name),
        Naming::AsStored | Naming::Inline => stored.file_name.clone(),
    };
    ContentDisposition::new(kind).with_filename(name).to_string()
}

fn may_be_inline(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    INLINE.iter().any(|inline| essence.eq_ignore_ascii_case(inline))
}

fn has_already(request: &HeaderMap, tag: &str) -> bool {
    let tags = request.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    tags.is_some_and(|tags| tags.split(',').any(|one| one.trim().trim_start_matches("W/") == tag))
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Range(Range<u64>),
    Impossible,
}

/// Which bytes the request wants. What is not understood, several parts among it, is answered with
/// the whole, as the standard allows.
fn part(request: &HeaderMap, tag: &str, bytes: u64) -> Part {
    let header = |name| request.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if header(header::IF_RANGE).is_some_and(|wanted| wanted != tag) {
        return Part::Whole;
    }
    let range = header(header::RANGE).and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.trim().split_once('-')) else {
        return Part::Whole;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..bytes.min(last.saturating_add(1)),
        (Ok(first), Err(_)) if last.is_empty() => first..bytes,
        (Err(_), Ok(last)) if first.is_empty() => bytes.saturating_sub(last)..bytes,
        _ => return Part::Whole,
    };
    if range.is_empty() { Part::Impossible } else { Part::Range(range) }
}

/// A header's value; what cannot be one is left out, byte by byte.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let clean: String = text.chars().filter(|c| matches!(c, ' '..='~')).collect();
        HeaderValue::from_str(&clean).unwrap_or(HeaderValue::from_static(""))
    })
}

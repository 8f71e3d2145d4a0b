//! `multipart/mixed` with exactly two parts, as files travel in: metadata, then the file. Written
//! and read as a stream.
//!
//! <https://datatracker.ietf.org/doc/html/rfc2046#section-5.1>

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue};
use services::media::ByteStream;

use crate::transport::Pieces;

/// Bytes before the first boundary, of a part's headers, and of the metadata.
const FRAME_BYTES_MAX: usize = 16 * 1024;
/// "Boundaries ... must be no longer than 70 characters".
const BOUNDARY_BYTES_MAX: usize = 70;

/// A file on its way to another server.
pub(crate) struct Outgoing {
    pub(crate) content_type: String,
    pub(crate) content_disposition: String,
    pub(crate) bytes: u64,
    pub(crate) body: ByteStream,
}

/// The whole answer's length and its body.
pub(crate) fn send(file: Outgoing, boundary: &str) -> (u64, ByteStream) {
    let Outgoing { content_type, content_disposition, bytes, body } = file;
    let head = format!(
        "--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\n\
         Content-Type: {content_type}\r\nContent-Disposition: {content_disposition}\r\n\r\n"
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    let length = head.len() as u64 + bytes + tail.len() as u64;
    let piece = |text: String| stream::iter([Ok(Bytes::from(text))]);
    (length, piece(head).chain(body).chain(piece(tail)).boxed())
}

/// The boundary in the value of a `Content-Type`, if that is `multipart/mixed`.
pub(crate) fn boundary(content_type: &HeaderValue) -> Option<String> {
    let mut parameters = content_type.to_str().ok()?.split(';').map(str::trim);
    if !parameters.next()?.eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let boundary = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then_some(value.trim())
    })?;
    let boundary = boundary.trim_matches('"');
    let fits = !boundary.is_empty() && boundary.len() <= BOUNDARY_BYTES_MAX;
    fits.then(|| boundary.to_owned())
}

/// The headers of the second part and the bytes in it.
pub(crate) async fn file(pieces: Pieces, boundary: &str) -> io::Result<(HeaderMap, ByteStream)> {
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first boundary may stand at the very beginning, without a line before it.
    let buffer = BytesMut::from(&b"\r\n"[..]);
    let mut reader = Reader { pieces, buffer, delimiter };
    reader.skip_part().await?;
    reader.headers().await?;
    reader.skip_part().await?;
    let headers = reader.headers().await?;
    let body = stream::try_unfold(Some(reader), |reader| async {
        let Some(reader) = reader else { return Ok(None) };
        reader.body_piece().await
    });
    Ok((headers, body.boxed()))
}

struct Reader {
    pieces: Pieces,
    /// What has come and was not used yet.
    buffer: BytesMut,
    /// What ends a part: a line break, two dashes, the boundary.
    delimiter: Vec<u8>,
}

impl Reader {
    /// Passes over the rest of a part, and the delimiter after it.
    async fn skip_part(&mut self) -> io::Result<()> {
        let delimiter = self.delimiter.clone();
        self.take_through(&delimiter).await.map(|_| ())
    }

    /// The headers of the part that begins here, right after a delimiter.
    async fn headers(&mut self) -> io::Result<HeaderMap> {
        // What is left of the delimiter's line is empty, or two dashes after the last part.
        if !self.take_through(b"\r\n").await?.trim_ascii().is_empty() {
            return Err(malformed("a part is missing"));
        }
        let mut headers = HeaderMap::new();
        loop {
            let line = self.take_through(b"\r\n").await?;
            if line.is_empty() {
                return Ok(headers);
            }
            let colon = line.iter().position(|byte| *byte == b':');
            let colon = colon.ok_or_else(|| malformed("a header has no colon"))?;
            let name = HeaderName::from_bytes(line[..colon].trim_ascii());
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.insert(name, value);
            }
        }
    }

    /// What comes before `end`, which is passed over. It may not be long.
    async fn take_through(&mut self, end: &[u8]) -> io::Result<BytesMut> {
        loop {
            if let Some(at) = find(&self.buffer, end) {
                let mut taken = self.buffer.split_to(at + end.len());
                taken.truncate(at);
                return Ok(taken);
            }
            if self.buffer.len() > FRAME_BYTES_MAX {
                return Err(malformed("it is too long before the file"));
            }
            if !self.more().await? {
                return Err(cut_off());
            }
        }
    }

    /// The next bytes of the part, and the reader unless they were the last.
    async fn body_piece(mut self) -> io::Result<Option<(Bytes, Option<Self>)>> {
        loop {
            if let Some(end) = find(&self.buffer, &self.delimiter) {
                return Ok(Some((self.buffer.split_to(end).freeze(), None)));
            }
            // The end of what has come may be the beginning of the delimiter.
            let certain = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
            if certain > 0 {
                let piece = self.buffer.split_to(certain).freeze();
                return Ok(Some((piece, Some(self))));
            }
            if !self.more().await? {
                // A file without its end is not the file.
                return Err(cut_off());
            }
        }
    }

    async fn more(&mut self) -> io::Result<bool> {
        match self.pieces.next().await.transpose().map_err(io::Error::other)? {
            Some(piece) => {
                self.buffer.extend_from_slice(&piece);
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// Where `wanted`, which begins with a carriage return, first is in `bytes`.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == b'\r') {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

fn malformed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it was cut off")
}

//! The address of a file: `mxc://server/media-id`.

use std::fmt;

use ruma::{OwnedServerName, ServerName};

#[cfg(test)]
mod tests;

/// Bytes of a media id; no server makes longer ones.
const MEDIA_ID_BYTES_MAX: usize = 255;

/// Where a file is. Its media id holds only letters, digits, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    server: OwnedServerName,
    media_id: String,
}

impl Address {
    /// `None` unless the parts are what the specification allows: "Media IDs ... should only
    /// consist of alphanumeric, `_` and `-` characters".
    ///
    /// <https://spec.matrix.org/v1.19/client-server-api/#security-considerations-5>
    pub fn new(server: &str, media_id: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let fits = (1..=MEDIA_ID_BYTES_MAX).contains(&media_id.len());
        if !fits || !media_id.bytes().all(allowed) {
            return None;
        }
        let server = ServerName::parse(server).ok()?;
        Some(Self { server, media_id: media_id.to_owned() })
    }

    pub fn server(&self) -> &ServerName {
        &self.server
    }

    pub fn media_id(&self) -> &str {
        &self.media_id
    }

    /// As the store wants it.
    pub(super) fn row(&self) -> store::media::Address<'_> {
        store::media::Address { server: self.server.as_str(), media_id: &self.media_id }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mxc://{}/{}", self.server, self.media_id)
    }
}

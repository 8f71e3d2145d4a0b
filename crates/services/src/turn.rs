//! Credentials for the TURN servers over which calls go that find no direct way.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#voice-over-ip>

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::{Context, sessions::Caller};

#[cfg(test)]
mod tests;

/// The TURN servers, and the secret that we share with them.
#[derive(Clone, Default)]
pub struct TurnSettings {
    pub uris: Vec<String>,
    /// Empty: there are no credentials to give.
    pub shared_secret: String,
    pub lifetime_s: u64,
}

/// What a client shows to a TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
    pub uris: Vec<String>,
    pub lifetime_s: u64,
}

pub struct Turn {
    context: Context,
    settings: TurnSettings,
}

impl Turn {
    pub fn new(context: Context, settings: TurnSettings) -> Self {
        Self { context, settings }
    }

    /// Credentials that the TURN server can check without asking us: the user name says until
    /// when, the password proves it. `None` when there is no TURN server.
    pub fn credentials(&self, caller: &Caller) -> Option<Credentials> {
        let TurnSettings { uris, shared_secret, lifetime_s } = self.settings.clone();
        if uris.is_empty() || shared_secret.is_empty() {
            return None;
        }
        let expires_s = self.context.clock.now_ms() / 1_000 + lifetime_s;
        let username = format!("{expires_s}:{}", caller.user_id);
        let mut mac = Hmac::<Sha1>::new_from_slice(shared_secret.as_bytes()).ok()?;
        mac.update(username.as_bytes());
        let password = STANDARD.encode(mac.finalize().into_bytes());
        Some(Credentials { username, password, uris, lifetime_s })
    }
}

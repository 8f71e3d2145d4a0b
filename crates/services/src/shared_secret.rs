//! Registration by whoever knows the homeserver's shared secret, as Synapse's administrators' tool
//! does it: the server gives out a nonce, the client proves with it that it knows the secret.
//!
//! <https://element-hq.github.io/synapse/latest/admin_api/register_api.html>

use std::{sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use lru::LruCache;
use parking_lot::Mutex;
use sha1::Sha1;

use crate::{
    Context,
    accounts::{Accounts, NewAccount, RegisterError, Registered},
};

#[cfg(test)]
mod tests;

/// How long a nonce can be used.
const NONCE_LIFETIME: Duration = Duration::from_secs(60);
/// Nonces that are kept; the oldest go first.
const NONCES_MAX: usize = 1_000;

/// What a client sends. `proof` is the HMAC-SHA1 in hexadecimal digits.
#[derive(Clone)]
pub struct ProvenRequest {
    pub nonce: String,
    pub username: String,
    pub password: String,
    pub admin: bool,
    pub user_type: Option<String>,
    pub proof: String,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum SharedSecretError {
    #[error("there is no shared secret")]
    Disabled,
    #[error("the nonce is unknown or was used")]
    UnknownNonce,
    #[error("the proof is wrong")]
    WrongProof,
    #[error("a name or password with a NUL")]
    Nul,
    #[error(transparent)]
    Register(#[from] RegisterError),
}

pub struct SharedSecret {
    context: Context,
    accounts: Arc<Accounts>,
    /// When each nonce expires.
    nonces: Mutex<LruCache<String, u64>>,
}

impl SharedSecret {
    pub fn new(context: Context, accounts: Arc<Accounts>) -> Self {
        Self { context, accounts, nonces: Mutex::new(LruCache::unbounded()) }
    }

    pub fn nonce(&self) -> Result<String, SharedSecretError> {
        self.secret()?;
        let nonce = self.context.ids.token();
        let expires_ms = self.context.clock.now_ms() + NONCE_LIFETIME.as_millis() as u64;
        let mut nonces = self.nonces.lock();
        nonces.put(nonce.clone(), expires_ms);
        while nonces.len() > NONCES_MAX {
            nonces.pop_lru();
        }
        Ok(nonce)
    }

    /// Makes the account, with a session if `account` of the request asks for one.
    pub async fn register(
        &self,
        request: ProvenRequest,
        account: NewAccount,
    ) -> Result<Registered, SharedSecretError> {
        self.check(&request)?;
        let account = NewAccount {
            username: Some(request.username),
            password: Some(request.password),
            admin: request.admin,
            by_admin: true,
            ..account
        };
        Ok(self.accounts.register(account).await?)
    }

    fn check(&self, request: &ProvenRequest) -> Result<(), SharedSecretError> {
        let secret = self.secret()?;
        let expires_ms = self.nonces.lock().pop(&request.nonce);
        if expires_ms.is_none_or(|expires_ms| expires_ms <= self.context.clock.now_ms()) {
            return Err(SharedSecretError::UnknownNonce);
        }
        // NUL separates the parts of what is proved.
        if request.username.contains('\0') || request.password.contains('\0') {
            return Err(SharedSecretError::Nul);
        }
        let proof = decode_hex(&request.proof).ok_or(SharedSecretError::WrongProof)?;
        let mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes());
        let mut mac = mac.map_err(|_| SharedSecretError::Disabled)?;
        let role = if request.admin { "admin" } else { "notadmin" };
        let mut parts = vec![&*request.nonce, &request.username, &request.password, role];
        parts.extend(request.user_type.as_deref());
        mac.update(parts.join("\0").as_bytes());
        mac.verify_slice(&proof).map_err(|_| SharedSecretError::WrongProof)
    }

    fn secret(&self) -> Result<&str, SharedSecretError> {
        let secret = self.accounts.policy().shared_secret.as_str();
        if secret.is_empty() { Err(SharedSecretError::Disabled) } else { Ok(secret) }
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    };
    pairs.map(byte).collect()
}

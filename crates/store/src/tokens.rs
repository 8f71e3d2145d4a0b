//! Bearer tokens by their SHA-256: whoever reads the store cannot use what it holds.

use kv::{Batch, Precondition, Snapshot, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{TOKEN, value};

/// SHA-256 of a token. Tokens are 256 random bits, so that a salt would add nothing.
pub type TokenHash = [u8; 32];

/// Whose a token is, and what it is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub localpart: String,
    pub purpose: Purpose,
    pub expires_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Speaks for the device.
    Access { device_id: String },
    /// Can be exchanged for a new access token of the device.
    Refresh { device_id: String },
    /// Logs a new device in, once.
    Login,
    /// Proves to a third party who the user is.
    OpenId,
}

pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

pub fn get(snapshot: &Snapshot, hash: &TokenHash) -> Result<Option<Token>, StoreError> {
    snapshot.get(TOKEN, hash)?.map(|row| value::decode(&row)).transpose()
}

pub fn put(batch: &mut Batch, hash: &TokenHash, token: &Token) {
    batch.put(TOKEN, hash.to_vec(), value::encode(token));
}

pub fn delete(batch: &mut Batch, hash: &TokenHash) {
    batch.delete(TOKEN, hash.to_vec());
}

/// Deletes a token that may be used once; lets the batch fail if somebody else used it first.
pub fn consume(batch: &mut Batch, hash: &TokenHash) {
    batch.require(Precondition::Present(TOKEN, hash.to_vec().into()));
    delete(batch, hash);
}

//! The Ed25519 key with which a homeserver signs its events, requests and key documents.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use ed25519_dalek::pkcs8::ALGORITHM_OID;
use ruma::{
    CanonicalJsonObject, OwnedServerSigningKeyId, ServerName,
    signatures::{Ed25519KeyPair, JsonError},
};

#[cfg(test)]
pub(crate) mod tests;

/// A homeserver's signing key. It does not show its secret when printed for debugging.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    id: OwnedServerSigningKeyId,
    seed: [u8; 32],
}

/// A key version that is not made of letters, digits and underscores.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version of a signing key: use letters, digits and underscores")]
pub struct InvalidKeyVersion(pub String);

impl SigningKey {
    /// The key that belongs to a secret of 32 random bytes. `version` is what follows `ed25519:` in
    /// the key id.
    pub fn from_seed(seed: [u8; 32], version: &str) -> Result<Self, InvalidKeyVersion> {
        let invalid = || InvalidKeyVersion(version.to_owned());
        if !version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(invalid());
        }
        let id = OwnedServerSigningKeyId::try_from(format!("ed25519:{version}").as_str())
            .map_err(|_| invalid())?;
        // With 32 bytes and no public key to compare this cannot fail.
        let pair = Ed25519KeyPair::new(ALGORITHM_OID, &seed, None, version.to_owned())
            .map_err(|_| invalid())?;
        Ok(Self { pair, id, seed })
    }

    /// A new key with a version drawn from its own public half, so that two keys of one server never
    /// share an id.
    pub fn generate(seed: [u8; 32]) -> Result<Self, InvalidKeyVersion> {
        let public = Self::from_seed(seed, "x")?.pair.public_key();
        let version: String = public.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Self::from_seed(seed, &format!("k_{version}"))
    }

    /// The id under which others find the public half, for instance `ed25519:k_1f2e3d4c`.
    pub fn key_id(&self) -> &OwnedServerSigningKeyId {
        &self.id
    }

    /// What follows `ed25519:` in the key id.
    pub fn version(&self) -> &str {
        self.pair.version()
    }

    /// The public half.
    pub fn public_key(&self) -> [u8; 32] {
        self.pair.public_key()
    }

    /// The public half as key documents carry it: unpadded base64.
    pub fn public_key_base64(&self) -> String {
        STANDARD_NO_PAD.encode(self.public_key())
    }

    /// The secret, for storing it.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The key as ruma's signing functions want it (requests between servers).
    pub fn key_pair(&self) -> &Ed25519KeyPair {
        &self.pair
    }

    /// Adds the signature of `server` to any JSON object, as the appendix of the specification
    /// describes it. Not for events: they are signed redacted, see [`crate::build`].
    pub fn sign_json(
        &self,
        server: &ServerName,
        object: &mut CanonicalJsonObject,
    ) -> Result<(), JsonError> {
        ruma::signatures::sign_json(server.as_str(), &self.pair, object)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

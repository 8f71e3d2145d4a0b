//! Who this homeserver is to other servers: the keys that it signs with and has signed with.

use std::sync::Arc;

use kv::{CommitError, StoreError};
use model::signing_key::{InvalidKeyVersion, SigningKey};
use parking_lot::RwLock;
pub use store::homeserver::OldKey;
use store::homeserver::{Identity, SigningSeed, identity, put_identity};
use tokio::sync::Mutex;

use crate::{Context, log::Change};

#[cfg(test)]
mod tests;

/// How long after its replacement a key still verifies events: what was being signed meanwhile may
/// bear a later time.
pub const OVERLAP_MS: u64 = 60 * 1_000;

/// The key that signs our events and requests. Cheap to clone; all clones change together.
#[derive(Clone)]
pub struct CurrentKey(Arc<Cell>);

struct Cell {
    key: RwLock<Arc<SigningKey>>,
    /// Held while the key is being replaced.
    rotating: Mutex<()>,
}

/// Why the signing key could not be read or replaced.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the homeserver has no identity yet")]
    Unknown,
    #[error(transparent)]
    Key(#[from] InvalidKeyVersion),
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] CommitError),
}

impl CurrentKey {
    pub fn new(key: SigningKey) -> Self {
        let key = RwLock::new(Arc::new(key));
        Self(Arc::new(Cell { key, rotating: Mutex::default() }))
    }

    /// To be asked for each time that something is signed.
    pub fn current(&self) -> Arc<SigningKey> {
        Arc::clone(&self.0.key.read())
    }
}

/// The keys that no longer sign but still verify what they signed. Never the one that signs now.
pub async fn old_keys(context: &Context) -> Result<Vec<OldKey>, IdentityError> {
    let found = context.store.read(identity).await?;
    let mut old = found.map(|identity| identity.old_keys).unwrap_or_default();
    let current = context.signing_key.current();
    old.retain(|key| key.version != current.version());
    Ok(old)
}

/// Replaces the signing key by a new one, which signs from now on, and keeps the public half of the
/// replaced one, so that what it signed can be verified.
pub async fn rotate(context: &Context) -> Result<Arc<SigningKey>, IdentityError> {
    let _alone = context.signing_key.0.rotating.lock().await;
    let found: Option<Identity> = context.store.read(identity).await?;
    let mut identity = found.ok_or(IdentityError::Unknown)?;
    let replaced = SigningKey::from_seed(identity.signing_key.seed, &identity.signing_key.version)?;
    let new = Arc::new(SigningKey::generate(context.ids.seed())?);
    identity.old_keys.push(OldKey {
        version: replaced.version().to_owned(),
        public: replaced.public_key(),
        expired_ms: context.clock.now_ms() + OVERLAP_MS,
    });
    identity.signing_key = SigningSeed { version: new.version().to_owned(), seed: *new.seed() };
    let mut batch = context.batch();
    put_identity(&mut batch, &identity);
    context.log.commit(batch, vec![Change::Nothing]).await?;
    *context.signing_key.0.key.write() = Arc::clone(&new);
    Ok(new)
}

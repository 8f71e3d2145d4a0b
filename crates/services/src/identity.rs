//! Who this homeserver is to other servers: the keys that it signs with and has signed with.

use kv::{CommitError, StoreError};
use model::signing_key::{InvalidKeyVersion, SigningKey};
pub use store::homeserver::OldKey;
use store::homeserver::{Identity, SigningSeed, identity, put_identity};

use crate::{Context, log::Change};

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

/// The keys that no longer sign but still verify what they signed. Never the one that signs now.
pub async fn old_keys(context: &Context) -> Result<Vec<OldKey>, IdentityError> {
    let found = context.store.read(identity).await?;
    let mut old = found.map(|identity| identity.old_keys).unwrap_or_default();
    old.retain(|key| key.version != context.signing_key.version());
    Ok(old)
}

/// Replaces the signing key by a new one and keeps the public half of the replaced one. The new
/// key signs from the next opening of the homeserver on: whoever rotates opens it anew at once.
pub async fn rotate(context: &Context) -> Result<SigningKey, IdentityError> {
    let found: Option<Identity> = context.store.read(identity).await?;
    let mut identity = found.ok_or(IdentityError::Unknown)?;
    let replaced = SigningKey::from_seed(identity.signing_key.seed, &identity.signing_key.version)?;
    let new = SigningKey::generate(context.ids.seed())?;
    identity.old_keys.push(OldKey {
        version: replaced.version().to_owned(),
        public: replaced.public_key(),
        expired_ms: context.clock.now_ms(),
    });
    identity.signing_key = SigningSeed { version: new.version().to_owned(), seed: *new.seed() };
    let mut batch = context.batch();
    put_identity(&mut batch, &identity);
    context.log.commit(batch, vec![Change::Nothing]).await?;
    Ok(new)
}

//! Other servers' signing keys, kept so that a restart does not ask for all of them again and old
//! events can be verified when their server is gone.

use bytes::Bytes;
use kv::{CommitError, StoreError};
pub use store::server_keys::{KnownKey, ServerKeys};

use crate::{Context, log::Change};

/// What was kept of a server.
#[derive(Clone, Debug)]
pub struct Kept {
    pub keys: ServerKeys,
    /// The newest key document, as canonical JSON with its signatures.
    pub document: Bytes,
}

/// Why keys could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum ServerKeysError {
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] CommitError),
}

/// What is known of the server's keys.
pub async fn get(context: &Context, server: &str) -> Result<Option<Kept>, ServerKeysError> {
    let server = server.to_owned();
    let kept = context.store.read(move |rows| store::server_keys::get(rows, &server)).await?;
    Ok(kept.map(|(keys, document)| Kept { keys, document }))
}

/// Replaces what is known of the server's keys.
pub async fn keep(context: &Context, server: &str, kept: &Kept) -> Result<(), ServerKeysError> {
    let mut batch = context.batch();
    store::server_keys::put(&mut batch, server, &kept.keys, &kept.document);
    context.log.commit(batch, vec![Change::Nothing]).await?;
    Ok(())
}

//! What is known of other servers' signing keys.

use bytes::Bytes;
use kv::{Batch, Snapshot, StoreError};
use serde::{Deserialize, Serialize};

use crate::{SERVER_KEY, value};

/// The keys of a server, as far as its own documents have told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKeys {
    pub keys: Vec<KnownKey>,
    /// When the newest document was fetched.
    pub fetched_ms: u64,
    /// Until when the newest document says that it holds; never more than a week after fetching.
    pub valid_until_ms: u64,
}

/// One verify key that a server has or had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownKey {
    /// Algorithm and version, for instance `ed25519:a_1`.
    pub id: String,
    pub public: [u8; 32],
    /// The last moment at which something may have been signed with it.
    pub until_ms: u64,
    /// The server has taken it out of use: it verifies old events, and no request.
    pub old: bool,
}

/// The keys of a server, and its newest key document as it was signed (canonical JSON).
pub fn get(snapshot: &Snapshot, server: &str) -> Result<Option<(ServerKeys, Bytes)>, StoreError> {
    snapshot.get(SERVER_KEY, server.as_bytes())?.map(|row| value::decode_with(&row)).transpose()
}

pub fn put(batch: &mut Batch, server: &str, keys: &ServerKeys, document: &[u8]) {
    let key = Bytes::copy_from_slice(server.as_bytes());
    batch.put(SERVER_KEY, key, value::encode_with(keys, document));
}

//! What belongs to a homeserver as a whole: its name, its signing keys, its counters.

use kv::{Batch, Op, Snapshot, StoreError};
use serde::{Deserialize, Serialize};

use crate::{HOMESERVER, value};

const IDENTITY: &[u8] = b"identity";
const NEXT_ROOM: &[u8] = b"next_room";

/// Who this homeserver is.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    pub server_name: String,
    /// The key that signs now.
    pub signing_key: SigningSeed,
    /// Keys that signed earlier, still published so that old events can be verified.
    pub old_keys: Vec<OldKey>,
    /// Mixed into the paths of state trees, so that no other server can choose them.
    pub state_salt: [u8; 16],
    pub created_ms: u64,
}

/// An Ed25519 key as its 32-byte seed. Never logged: it has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct SigningSeed {
    /// The part of the key id after `ed25519:`.
    pub version: String,
    pub seed: [u8; 32],
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OldKey {
    pub version: String,
    pub public: [u8; 32],
    pub expired_ms: u64,
}

pub fn identity(snapshot: &Snapshot) -> Result<Option<Identity>, StoreError> {
    snapshot.get(HOMESERVER, IDENTITY)?.map(|row| value::decode(&row)).transpose()
}

pub fn put_identity(batch: &mut Batch, identity: &Identity) {
    batch.put(HOMESERVER, IDENTITY, value::encode(identity));
}

/// The number that the next new room may take.
pub fn next_room(snapshot: &Snapshot) -> Result<u64, StoreError> {
    let row = snapshot.get(HOMESERVER, NEXT_ROOM)?;
    match row.as_deref().map(TryFrom::try_from) {
        None => Ok(1),
        Some(Ok(bytes)) => Ok(u64::from_be_bytes(bytes)),
        Some(Err(_)) => Err(value::corrupt("next room")),
    }
}

pub fn raise_next_room(batch: &mut Batch, next: u64) {
    batch.ops.push(Op::Max(HOMESERVER, NEXT_ROOM.into(), next));
}

//! What every service of a homeserver is given.

use std::sync::Arc;

use kv::{Batch, BatchId, Store};
use model::{clock::Clock, ids::Ids, signing_key::SigningKey};
use ruma::{OwnedServerName, OwnedUserId, UserId};

use crate::log::Log;

/// One homeserver's identity, store, log, time and randomness. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub server_name: OwnedServerName,
    /// Signs our events and requests.
    pub signing_key: Arc<SigningKey>,
    /// Mixed into the paths of state trees, so that no other server can choose them.
    pub state_salt: [u8; 16],
    pub store: Store,
    pub log: Arc<Log>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
}

impl Context {
    /// An empty batch with an id of its own.
    pub fn batch(&self) -> Batch {
        Batch::new(BatchId(self.ids.batch_id()))
    }

    /// The full id of the local user with this localpart.
    pub fn user_id(&self, localpart: &str) -> OwnedUserId {
        let id = UserId::parse(format!("@{localpart}:{}", self.server_name));
        id.expect("a stored localpart was checked when its account was made")
    }

    pub fn is_local(&self, user: &UserId) -> bool {
        user.server_name() == self.server_name
    }
}

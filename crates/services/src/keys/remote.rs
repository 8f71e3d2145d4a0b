//! What is asked of other servers about the keys of their users. `federation` implements it.

use futures_util::future::BoxFuture;
use kv::StoreError;
use ruma::{ServerName, UserId};
use serde_json::{Map, Value};
use store::device_keys;

use super::{KeyError, Keys, note_changed};
use crate::rooms::remote::RemoteError;

type Asked<'a> = BoxFuture<'a, Result<Map<String, Value>, RemoteError>>;

/// Another server, asked for keys. The answers are bodies as they came, checked by who asked.
pub trait RemoteKeys: Send + Sync {
    /// `POST /_matrix/federation/v1/user/keys/query` with these `device_keys`.
    fn query<'a>(&'a self, server: &'a ServerName, device_keys: Map<String, Value>) -> Asked<'a>;

    /// `POST /_matrix/federation/v1/user/keys/claim` with these `one_time_keys`.
    fn claim<'a>(&'a self, server: &'a ServerName, one_time_keys: Map<String, Value>) -> Asked<'a>;
}

impl Keys {
    /// Another server tells that the devices or keys of a user of its own changed: who shares a
    /// room with him asks for them anew.
    pub async fn changed_remotely(&self, user: &UserId) -> Result<(), KeyError> {
        let user = user.to_owned();
        self.context
            .change(move |rows, batch| Ok(((), vec![note_changed(rows, batch, &user)?])))
            .await
    }

    /// A number that grows whenever the local user's devices or keys change.
    pub async fn list_version(&self, user: &UserId) -> Result<u64, StoreError> {
        let user = user.to_owned();
        let changed_at =
            self.context.store.read(move |rows| device_keys::changed_at(rows, user.as_str()));
        Ok(changed_at.await?.unwrap_or(0))
    }
}

//! What is asked of other servers about the keys of their users. `federation` implements it.

use futures_util::future::BoxFuture;
use ruma::ServerName;
use serde_json::{Map, Value};

use crate::rooms::remote::RemoteError;

type Asked<'a> = BoxFuture<'a, Result<Map<String, Value>, RemoteError>>;

/// Another server, asked for keys. The answers are bodies as they came, checked by who asked.
pub trait RemoteKeys: Send + Sync {
    /// `POST /_matrix/federation/v1/user/keys/query` with these `device_keys`.
    fn query<'a>(&'a self, server: &'a ServerName, device_keys: Map<String, Value>) -> Asked<'a>;

    /// `POST /_matrix/federation/v1/user/keys/claim` with these `one_time_keys`.
    fn claim<'a>(&'a self, server: &'a ServerName, one_time_keys: Map<String, Value>) -> Asked<'a>;
}

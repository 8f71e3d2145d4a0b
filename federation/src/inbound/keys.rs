//! Our keys, and as a notary those of others.

use std::collections::BTreeMap;

use axum::Extension;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedServerName,
    api::federation::discovery::{
        ServerSigningKeys, get_remote_server_keys, get_remote_server_keys_batch, get_server_keys,
    },
    serde::Raw,
};
use serde_json::value::RawValue;
use web::{Error, Matrix};

use crate::{Federation, keys::KeyError};

/// Servers that a notary is asked for at once; there are no answers for more.
const SERVERS_MAX: usize = 100;
const FETCHES_AT_ONCE: usize = 8;

/// `GET /_matrix/key/v2/server`
pub(crate) async fn get_server_keys(
    Extension(federation): Extension<Federation>,
    _: Matrix<get_server_keys::v2::Request>,
) -> Result<Matrix<get_server_keys::v2::Response>, Error> {
    let document = federation.keys.own_document().await.map_err(internal)?;
    Ok(Matrix(get_server_keys::v2::Response::new(raw(document)?)))
}

/// `GET /_matrix/key/v2/query/{serverName}`
pub(crate) async fn get_remote_server_keys(
    Extension(federation): Extension<Federation>,
    Matrix(request): Matrix<get_remote_server_keys::v2::Request>,
) -> Result<Matrix<get_remote_server_keys::v2::Response>, Error> {
    let wanted = vec![(request.server_name, request.minimum_valid_until_ts)];
    let server_keys = documents(&federation, wanted).await?;
    Ok(Matrix(get_remote_server_keys::v2::Response::new(server_keys)))
}

/// `POST /_matrix/key/v2/query`
pub(crate) async fn get_remote_server_keys_batch(
    Extension(federation): Extension<Federation>,
    Matrix(request): Matrix<get_remote_server_keys_batch::v2::Request>,
) -> Result<Matrix<get_remote_server_keys_batch::v2::Response>, Error> {
    let now_ms = federation.context().clock.now_ms();
    let now = MilliSecondsSinceUnixEpoch(js_int::UInt::new_saturating(now_ms));
    let wanted = request.server_keys.into_iter().map(|(server, keys)| (server, minimum(keys, now)));
    let server_keys = documents(&federation, wanted.take(SERVERS_MAX).collect()).await?;
    Ok(Matrix(get_remote_server_keys_batch::v2::Response::new(server_keys)))
}

/// Until when the document must hold that satisfies what is asked of each key.
fn minimum<K>(
    keys: BTreeMap<K, get_remote_server_keys_batch::v2::QueryCriteria>,
    now: MilliSecondsSinceUnixEpoch,
) -> MilliSecondsSinceUnixEpoch {
    let asked = keys.into_values().map(|criteria| criteria.minimum_valid_until_ts.unwrap_or(now));
    asked.max().unwrap_or(now)
}

/// A server whose keys cannot be had is left out, as the specification asks.
async fn documents(
    federation: &Federation,
    wanted: Vec<(OwnedServerName, MilliSecondsSinceUnixEpoch)>,
) -> Result<Vec<Raw<ServerSigningKeys>>, Error> {
    let mut found = stream::iter(wanted)
        .map(async |(server, minimum)| {
            federation.keys.document_of(&server, minimum.get().into()).await
        })
        .buffer_unordered(FETCHES_AT_ONCE);
    let mut documents = Vec::new();
    while let Some(document) = found.next().await {
        if let Some(document) = document.map_err(internal)? {
            documents.push(raw(document)?);
        }
    }
    Ok(documents)
}

fn raw<T>(document: Bytes) -> Result<Raw<T>, Error> {
    let text = String::from_utf8(document.into()).map_err(Error::internal)?;
    Ok(Raw::from_json(RawValue::from_string(text).map_err(Error::internal)?))
}

fn internal(error: KeyError) -> Error {
    Error::internal(error)
}

//! Giving out one-time keys, each once.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use kv::{Batch, Snapshot, StoreError};
use ruma::{OwnedServerName, OwnedUserId};
use serde_json::{Map, Value, json};
use store::{
    device_keys::{self, FallbackKey, OneTimeKey},
    log::Change,
    value,
};

use super::{KeyError, Keys};

/// user → device → algorithm
pub type Claims = BTreeMap<OwnedUserId, BTreeMap<String, String>>;

/// The keys that were claimed (user → device → key id → key), and the servers that could not be
/// asked.
#[derive(Clone, Debug, Default)]
pub struct ClaimAnswer {
    pub one_time_keys: Map<String, Value>,
    pub failures: Map<String, Value>,
}

impl Keys {
    /// Claims keys of any users, for a local user.
    pub async fn claim(&self, claims: Claims) -> Result<ClaimAnswer, KeyError> {
        let (local, remote): (Claims, Claims) =
            claims.into_iter().partition(|(user, _)| self.context.is_local(user));
        let mut answer =
            ClaimAnswer { one_time_keys: self.claim_local(local).await?, ..Default::default() };
        let mut by_server: BTreeMap<OwnedServerName, Claims> = BTreeMap::new();
        for (user, devices) in remote {
            let server = user.server_name().to_owned();
            by_server.entry(server).or_default().insert(user, devices);
        }
        let asked = by_server.iter().map(|(server, claims)| self.claim_remote(server, claims));
        for (found, (server, claims)) in join_all(asked).await.into_iter().zip(&by_server) {
            let found = found.as_ref().and_then(|found| found.get("one_time_keys"));
            match found.and_then(Value::as_object) {
                Some(found) => answer.take(found, claims),
                None => {
                    let failure = json!({ "status": 503, "message": "The server is unreachable" });
                    answer.failures.insert(server.to_string(), failure);
                }
            }
        }
        Ok(answer)
    }

    /// Claims keys of local users, for whoever asks.
    pub async fn claim_local(&self, claims: Claims) -> Result<Map<String, Value>, KeyError> {
        let mut answer = Map::new();
        for (user, devices) in claims {
            if !self.context.is_local(&user) {
                continue;
            }
            let _turn = self.turn(user.localpart()).await;
            let localpart = user.localpart().to_owned();
            let found = self.context.change(move |rows, batch| {
                let mut found = Map::new();
                let mut changes = Vec::new();
                for (device_id, algorithm) in &devices {
                    let device = (localpart.as_str(), device_id.as_str());
                    if let Some(key) = take(rows, batch, device, algorithm)? {
                        let id = format!("{algorithm}:{}", key.id);
                        found.insert(device_id.clone(), json!({ id: parse(&key.json)? }));
                        let (user, device) = (localpart.clone(), device_id.clone());
                        changes.push(Change::ToDevice { user, device });
                    }
                }
                Ok::<_, KeyError>((found, changes))
            });
            let found = found.await?;
            // Who has none left is not there, rather than there with nothing.
            if !found.is_empty() {
                answer.insert(user.to_string(), Value::Object(found));
            }
        }
        Ok(answer)
    }

    async fn claim_remote(
        &self,
        server: &OwnedServerName,
        claims: &Claims,
    ) -> Option<Map<String, Value>> {
        let claims = claims.iter().map(|(user, devices)| (user.to_string(), json!(devices)));
        self.remote.get()?.claim(server, claims.collect()).await.ok()
    }
}

impl ClaimAnswer {
    /// Takes from a server's answer what was claimed.
    fn take(&mut self, found: &Map<String, Value>, claims: &Claims) {
        for (user, claimed) in claims {
            let Some(devices) = found.get(user.as_str()).and_then(Value::as_object) else {
                continue;
            };
            let claimed = devices.iter().filter(|(device_id, _)| claimed.contains_key(*device_id));
            let claimed = claimed.map(|(id, keys)| (id.clone(), keys.clone())).collect();
            self.one_time_keys.insert(user.to_string(), Value::Object(claimed));
        }
    }
}

/// The device's oldest one-time key of the algorithm, which it loses; or its fallback key.
fn take(
    rows: &Snapshot,
    batch: &mut Batch,
    (localpart, device_id): (&str, &str),
    algorithm: &str,
) -> Result<Option<OneTimeKey>, StoreError> {
    let keys = device_keys::one_time_keys(rows, localpart, device_id)?;
    if let Some((_, row, key)) = keys.into_iter().find(|(known, _, _)| known == algorithm) {
        device_keys::claim_one_time_key(batch, row);
        return Ok(Some(key));
    }
    let keys = device_keys::fallback_keys(rows, localpart, device_id)?;
    let Some((_, fallback)) = keys.into_iter().find(|(known, _)| known == algorithm) else {
        return Ok(None);
    };
    if !fallback.used {
        let used = FallbackKey { used: true, ..fallback.clone() };
        device_keys::put_fallback_key(batch, localpart, device_id, algorithm, &used);
    }
    Ok(Some(fallback.key))
}

fn parse(json: &str) -> Result<Value, StoreError> {
    serde_json::from_str(json).map_err(|_| value::corrupt("one-time key"))
}

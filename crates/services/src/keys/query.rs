//! Which keys users have.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use kv::{Snapshot, StoreError};
use ruma::{OwnedServerName, OwnedUserId, UserId};
use serde_json::{Map, Value, json};
use store::{
    device_keys::{self, Usage},
    devices,
};

use super::{Keys, signed};
use crate::sessions::Caller;

/// Whose keys of which devices; no device means all.
pub type Wanted = BTreeMap<OwnedUserId, Vec<String>>;

/// The keys that were found, each by its user.
#[derive(Clone, Debug, Default)]
pub struct QueryAnswer {
    /// user → device → keys
    pub device_keys: Map<String, Value>,
    pub master_keys: Map<String, Value>,
    pub self_signing_keys: Map<String, Value>,
    /// The asking user's own, if he asked for it.
    pub user_signing_keys: Map<String, Value>,
    /// Servers that could not be asked.
    pub failures: Map<String, Value>,
}

impl Keys {
    /// The keys of any users, for a local user.
    pub async fn query(&self, caller: &Caller, wanted: Wanted) -> Result<QueryAnswer, StoreError> {
        let (local, remote): (Wanted, Wanted) =
            wanted.into_iter().partition(|(user, _)| self.context.is_local(user));
        let caller = caller.user_id.clone();
        let mut answer = self.query_local(Some(caller.clone()), local).await?;
        let mut by_server: BTreeMap<OwnedServerName, Wanted> = BTreeMap::new();
        for (user, devices) in remote {
            let server = user.server_name().to_owned();
            by_server.entry(server).or_default().insert(user, devices);
        }
        let asked = by_server.iter().map(|(server, wanted)| self.query_remote(server, wanted));
        for (found, (server, wanted)) in join_all(asked).await.into_iter().zip(&by_server) {
            match found {
                Some(found) => answer.take(&found, wanted),
                None => {
                    let failure = json!({ "status": 503, "message": "The server is unreachable" });
                    answer.failures.insert(server.to_string(), failure);
                }
            }
        }
        self.add_own_signatures(caller, answer).await
    }

    /// The keys of local users. `asker` is the local user who asks; another server is none.
    pub async fn query_local(
        &self,
        asker: Option<OwnedUserId>,
        wanted: Wanted,
    ) -> Result<QueryAnswer, StoreError> {
        let context = self.context.clone();
        self.context
            .store
            .read(move |rows| {
                let mut answer = QueryAnswer::default();
                for (user, devices) in wanted.iter().filter(|(user, _)| context.is_local(user)) {
                    answer.add_local(rows, user, devices, asker.as_deref() == Some(user))?;
                }
                Ok(answer)
            })
            .await
    }

    async fn query_remote(
        &self,
        server: &OwnedServerName,
        wanted: &Wanted,
    ) -> Option<Map<String, Value>> {
        let wanted = wanted.iter().map(|(user, devices)| (user.to_string(), json!(devices)));
        self.remote.get()?.query(server, wanted.collect()).await.ok()
    }

    /// The signatures that the asker made of others' master keys are for his eyes only.
    async fn add_own_signatures(
        &self,
        asker: OwnedUserId,
        mut answer: QueryAnswer,
    ) -> Result<QueryAnswer, StoreError> {
        self.context
            .store
            .read(move |rows| {
                for (user, key) in &mut answer.master_keys {
                    let Value::Object(key) = key else { continue };
                    let Some(public) = public_key(key) else { continue };
                    let of = (user.as_str(), public.as_str());
                    let made = device_keys::signatures(rows, asker.localpart(), of)?;
                    for (key_id, signature) in
                        made.map(|made| signed::read(&made)).transpose()?.iter().flatten()
                    {
                        let signature = signature.as_str().unwrap_or_default();
                        signed::sign(key, asker.as_str(), key_id, signature);
                    }
                }
                Ok(answer)
            })
            .await
    }
}

impl QueryAnswer {
    fn add_local(
        &mut self,
        rows: &Snapshot,
        user: &UserId,
        wanted: &[String],
        is_asker: bool,
    ) -> Result<(), StoreError> {
        let localpart = user.localpart();
        let mut found = Map::new();
        for (device_id, json) in device_keys::devices(rows, localpart)? {
            if !wanted.is_empty() && !wanted.contains(&device_id) {
                continue;
            }
            let mut keys = signed::read(&json)?;
            let device = devices::get(rows, localpart, &device_id)?;
            if let Some(name) = device.and_then(|device| device.display_name) {
                keys.insert("unsigned".to_owned(), json!({ "device_display_name": name }));
            }
            found.insert(device_id, Value::Object(keys));
        }
        self.device_keys.insert(user.to_string(), Value::Object(found));
        let add = |of: &mut Map<String, Value>, usage| {
            if let Some(json) = device_keys::cross_signing(rows, localpart, usage)? {
                of.insert(user.to_string(), Value::Object(signed::read(&json)?));
            }
            Ok::<_, StoreError>(())
        };
        add(&mut self.master_keys, Usage::Master)?;
        add(&mut self.self_signing_keys, Usage::SelfSigning)?;
        if is_asker {
            add(&mut self.user_signing_keys, Usage::UserSigning)?;
        }
        Ok(())
    }

    /// Takes from a server's answer what it was asked for: it speaks for its own users only, and a
    /// key that names another user or device is left out.
    fn take(&mut self, found: &Map<String, Value>, wanted: &Wanted) {
        for user in wanted.keys().map(|user| user.as_str()) {
            let of_user = |part: &str| found.get(part)?.get(user)?.as_object();
            if let Some(devices) = of_user("device_keys") {
                let own = devices.iter().filter(|(device_id, keys)| {
                    keys["user_id"] == user && keys["device_id"] == device_id.as_str()
                });
                let own = own.map(|(id, keys)| (id.clone(), keys.clone())).collect();
                self.device_keys.insert(user.to_owned(), Value::Object(own));
            }
            for (part, into) in [
                ("master_keys", &mut self.master_keys),
                ("self_signing_keys", &mut self.self_signing_keys),
            ] {
                if let Some(key) =
                    of_user(part).filter(|key| key.get("user_id").is_some_and(|id| id == user))
                {
                    into.insert(user.to_owned(), Value::Object(key.clone()));
                }
            }
        }
    }
}

/// The public half of a cross-signing key.
pub(super) fn public_key(key: &Map<String, Value>) -> Option<String> {
    let mut keys = key.get("keys")?.as_object()?.values();
    keys.next()?.as_str().map(ToOwned::to_owned)
}

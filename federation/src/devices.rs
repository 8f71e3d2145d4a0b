//! Other servers, asked for their users' keys: the port that `services::keys` defines. Who asked
//! checks the answers.

use std::{sync::Arc, time::Duration};

use ruma::ServerName;
use serde_json::{Map, Value, json};
use services::{
    keys::RemoteKeys,
    rooms::remote::{Asked, RemoteError},
};

use crate::{client::FederationClient, rooms::explain};

/// A user waits: his message is encrypted for whoever has answered by then.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Asks other servers about keys.
pub(crate) struct RemoteDevices {
    client: FederationClient,
}

impl RemoteDevices {
    pub(crate) fn new(client: FederationClient) -> Arc<Self> {
        Arc::new(Self { client })
    }

    async fn ask(
        &self,
        server: &ServerName,
        path: &'static str,
        question: Value,
    ) -> Result<Map<String, Value>, RemoteError> {
        self.client.post_json(server, path, &question, TIME_MAX).await.map_err(explain)
    }
}

impl RemoteKeys for RemoteDevices {
    fn query<'a>(
        &'a self,
        server: &'a ServerName,
        device_keys: Map<String, Value>,
    ) -> Asked<'a, Map<String, Value>> {
        let question = json!({ "device_keys": device_keys });
        Box::pin(self.ask(server, "/_matrix/federation/v1/user/keys/query", question))
    }

    fn claim<'a>(
        &'a self,
        server: &'a ServerName,
        one_time_keys: Map<String, Value>,
    ) -> Asked<'a, Map<String, Value>> {
        let question = json!({ "one_time_keys": one_time_keys });
        Box::pin(self.ask(server, "/_matrix/federation/v1/user/keys/claim", question))
    }
}

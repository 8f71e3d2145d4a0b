//! Other servers, asked for the profiles of their users.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use ruma::{UserId, api::federation::query::get_profile_information::v1::Request};
use services::{
    profile::{Fields, RemoteProfiles},
    rooms::remote::RemoteError,
};

use crate::{client::FederationClient, rooms::explain};

#[cfg(test)]
mod tests;

/// How long an answer may take: somebody looks at an empty profile meanwhile.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Asks other servers for profiles.
pub struct Profiles {
    client: FederationClient,
}

impl Profiles {
    pub fn new(client: FederationClient) -> Arc<Self> {
        Arc::new(Self { client })
    }
}

impl RemoteProfiles for Profiles {
    fn profile<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, Result<Fields, RemoteError>> {
        Box::pin(async move {
            let request = Request::new(user.to_owned());
            let answer = self.client.send(user.server_name(), request, TIME_MAX).await;
            let answer = answer.map_err(explain)?;
            Ok(answer.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
        })
    }
}

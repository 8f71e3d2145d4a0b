//! OpenID: a token with which a user shows a third party who he is, without giving it his session.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#openid>

use std::time::Duration;

use kv::{CommitError, StoreError};
use ruma::OwnedUserId;
use store::{
    accounts,
    log::Change,
    tokens::{self, Purpose, Token},
};

use crate::{Context, sessions::Caller};

#[cfg(test)]
mod tests;

/// How long a token can be shown.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenIdError {
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct OpenId {
    context: Context,
}

impl OpenId {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// A token for the caller to show, and how long it is good.
    pub async fn issue(&self, caller: &Caller) -> Result<(String, Duration), OpenIdError> {
        let token = self.context.ids.token();
        let hash = tokens::hash(&token);
        let row = Token {
            localpart: caller.localpart().to_owned(),
            purpose: Purpose::OpenId,
            expires_ms: Some(self.context.clock.now_ms() + LIFETIME.as_millis() as u64),
        };
        let written: Result<(), OpenIdError> = self
            .context
            .change(move |_, batch| {
                tokens::put(batch, &hash, &row);
                Ok(((), vec![Change::Nothing]))
            })
            .await;
        written.map(|()| (token, LIFETIME))
    }

    /// Who showed the token.
    pub async fn user_of(&self, token: &str) -> Result<Option<OwnedUserId>, StoreError> {
        let (hash, now_ms) = (tokens::hash(token), self.context.clock.now_ms());
        let found = self.context.store.read(move |rows| {
            let token = tokens::get(rows, &hash)?.filter(|token| {
                token.purpose == Purpose::OpenId
                    && token.expires_ms.is_some_and(|expires_ms| expires_ms > now_ms)
            });
            let Some(token) = token else { return Ok(None) };
            let account = accounts::get(rows, &token.localpart)?;
            let active = account.is_some_and(|account| !account.deactivated);
            Ok::<_, StoreError>(active.then_some(token.localpart))
        });
        Ok(found.await?.map(|localpart| self.context.user_id(&localpart)))
    }
}

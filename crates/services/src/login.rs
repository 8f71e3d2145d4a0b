//! Logging in.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#login>

use std::{sync::Arc, time::Duration};

use kv::{CommitError, StoreError};
use ruma::{OwnedUserId, UserId};
use store::{
    accounts::{self, Account},
    log::Change,
    tokens::{self, Purpose, Token},
};

use crate::{
    Context,
    passwords::{PasswordError, Passwords},
    sessions::{Caller, NewSession, OpenSession, SessionError, Sessions},
};

#[cfg(test)]
mod tests;

/// How long a login token can be used: the time in which one turns to another device.
const LOGIN_TOKEN_LIFETIME: Duration = Duration::from_secs(2 * 60);

#[derive(Clone, Debug, thiserror::Error)]
pub enum LoginError {
    #[error("wrong user name or password, or a token that cannot be used any more")]
    WrongCredentials,
    #[error("the account was deactivated")]
    Deactivated,
    #[error("the account is locked")]
    Locked,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct Login {
    context: Context,
    passwords: Arc<Passwords>,
    sessions: Arc<Sessions>,
}

impl Login {
    pub fn new(context: Context, passwords: Arc<Passwords>, sessions: Arc<Sessions>) -> Self {
        Self { context, passwords, sessions }
    }

    /// Logs a user in by his password. `user` is a localpart or a full user id.
    pub async fn with_password(
        &self,
        user: &str,
        password: &str,
        session: NewSession,
    ) -> Result<OpenSession, LoginError> {
        let found = match self.localpart(user) {
            Some(localpart) => self.find(localpart).await?,
            None => None,
        };
        let Some((localpart, account)) = found else {
            // Takes as long as for a user who exists.
            self.passwords.matches(password, None).await?;
            return Err(LoginError::WrongCredentials);
        };
        if account.deactivated {
            return Err(LoginError::Deactivated);
        }
        if !self.passwords.matches(password, account.password).await? {
            return Err(LoginError::WrongCredentials);
        }
        if account.locked {
            return Err(LoginError::Locked);
        }
        Ok(self.sessions.open(&localpart, session).await?)
    }

    /// Logs in a user for whom an appservice vouches.
    pub(crate) async fn vouched_for(
        &self,
        localpart: &str,
        session: NewSession,
    ) -> Result<OpenSession, LoginError> {
        match self.find(localpart.to_owned()).await? {
            Some((_, account)) if account.deactivated => Err(LoginError::Deactivated),
            Some((_, account)) if account.locked => Err(LoginError::Locked),
            Some((localpart, _)) => Ok(self.sessions.open(&localpart, session).await?),
            None => Err(LoginError::WrongCredentials),
        }
    }

    /// The user that a client means, if it can be one of ours.
    pub(crate) fn user_id(&self, user: &str) -> Option<OwnedUserId> {
        let localpart = self.localpart(user)?.to_ascii_lowercase();
        UserId::parse(format!("@{localpart}:{}", self.context.server_name)).ok()
    }

    /// The localpart that a client means, if it can be one of ours.
    fn localpart(&self, user: &str) -> Option<String> {
        if !user.starts_with('@') {
            return Some(user.to_owned());
        }
        let user = UserId::parse(user).ok()?;
        self.context.is_local(&user).then(|| user.localpart().to_owned())
    }

    /// The account, also when its name was written in capitals.
    async fn find(&self, localpart: String) -> Result<Option<(String, Account)>, StoreError> {
        self.context
            .store
            .read(move |rows| {
                if let Some(account) = accounts::get(rows, &localpart)? {
                    return Ok(Some((localpart, account)));
                }
                let lower = localpart.to_ascii_lowercase();
                Ok(accounts::get(rows, &lower)?.map(|account| (lower, account)))
            })
            .await
    }

    /// A token with which the caller can log in another device, once and soon.
    pub async fn issue_token(&self, caller: &Caller) -> Result<(String, Duration), LoginError> {
        let token = self.context.ids.token();
        let hash = tokens::hash(&token);
        let lifetime_ms = LOGIN_TOKEN_LIFETIME.as_millis() as u64;
        let row = Token {
            localpart: caller.localpart().to_owned(),
            purpose: Purpose::Login,
            expires_ms: Some(self.context.clock.now_ms() + lifetime_ms),
        };
        let written: Result<(), LoginError> = self
            .context
            .change(move |_, batch| {
                tokens::put(batch, &hash, &row);
                Ok(((), vec![Change::Nothing]))
            })
            .await;
        written?;
        Ok((token, LOGIN_TOKEN_LIFETIME))
    }

    /// Logs in with a token of [`Self::issue_token`].
    pub async fn with_token(
        &self,
        token: &str,
        session: NewSession,
    ) -> Result<OpenSession, LoginError> {
        let hash = tokens::hash(token);
        let now_ms = self.context.clock.now_ms();
        let localpart = self
            .context
            .change(move |rows, batch| {
                let Some(Token { localpart, purpose: Purpose::Login, expires_ms }) =
                    tokens::get(rows, &hash)?
                else {
                    return Err(LoginError::WrongCredentials);
                };
                tokens::consume(batch, &hash);
                let expired = expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms);
                Ok(((!expired).then_some(localpart), vec![Change::Nothing]))
            })
            .await?;
        let localpart = localpart.ok_or(LoginError::WrongCredentials)?;
        self.vouched_for(&localpart, session).await
    }
}

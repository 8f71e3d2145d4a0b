//! Exchanging a refresh token for a new pair of tokens.
//!
//! The old pair stays good until the new one is used, so that a client that did not receive the
//! answer can ask again.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens>

use kv::{CommitError, StoreError};
use store::{
    accounts, devices,
    log::Change,
    tokens::{self, Purpose, Token, TokenHash},
};

use super::{NewSession, OpenSession, SessionError, Sessions, delete_pairs};

#[derive(Clone, Debug, thiserror::Error)]
pub enum RefreshError {
    #[error("nobody has this refresh token")]
    UnknownToken,
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Sessions {
    pub async fn refresh(&self, refresh_token: &str) -> Result<OpenSession, RefreshError> {
        let hash = tokens::hash(refresh_token);
        let token = self.context.store.read(move |rows| tokens::get(rows, &hash)).await?;
        let Some(Token { localpart, purpose: Purpose::Refresh { device_id }, expires_ms }) = token
        else {
            return Err(RefreshError::UnknownToken);
        };
        if expires_ms.is_some_and(|expires_ms| expires_ms <= self.context.clock.now_ms()) {
            return Err(RefreshError::UnknownToken);
        }
        let device_id = Some(device_id.into());
        self.exchange(
            hash,
            &localpart,
            NewSession { device_id, refreshable: true, display_name: None },
        )
        .await
    }

    async fn exchange(
        &self,
        used: TokenHash,
        localpart: &str,
        new: NewSession,
    ) -> Result<OpenSession, RefreshError> {
        let planned = self.plan(localpart, new)?;
        let opened = planned.opened.clone();
        let localpart = localpart.to_owned();
        self.context
            .change(move |rows, batch| {
                let device_id = planned.opened.device_id.as_str();
                let account = accounts::get(rows, &localpart)?;
                let active = account.is_some_and(|account| !account.deactivated);
                let device = devices::get(rows, &localpart, device_id)?.filter(|_| active);
                let Some(old) = device else { return Err(RefreshError::UnknownToken) };
                let (kept, dead): (Vec<_>, Vec<_>) =
                    old.pairs.iter().copied().partition(|pair| pair.refresh == Some(used));
                if kept.is_empty() {
                    return Err(RefreshError::UnknownToken);
                }
                delete_pairs(batch, &dead);
                let mut device = devices::Device { pairs: kept, ..old.clone() };
                device.pairs.push(planned.write_pair(batch));
                devices::put(batch, &localpart, device_id, &device, Some(&old));
                Ok(((), vec![Change::Account { user: localpart.clone() }]))
            })
            .await?;
        Ok(opened)
    }
}

//! What administrators and users do to an account as a whole: lock, suspend, deactivate.

use kv::{Batch, CommitError, Snapshot, StoreError};
use ruma::UserId;
use store::{
    account_data,
    accounts::{self, Account, Profile},
    log::{Change, LogEntry},
};

use super::Accounts;
use crate::devices::removal;

#[derive(Clone, Debug, thiserror::Error)]
pub enum StandingError {
    #[error("there is no such account")]
    UnknownUser,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Accounts {
    pub async fn set_locked(&self, user: &UserId, locked: bool) -> Result<(), StandingError> {
        self.amend(user, move |account| account.locked = locked).await
    }

    pub async fn set_suspended(&self, user: &UserId, suspended: bool) -> Result<(), StandingError> {
        self.amend(user, move |account| account.suspended = suspended).await
    }

    pub async fn set_admin(&self, user: &UserId, admin: bool) -> Result<(), StandingError> {
        self.amend(user, move |account| account.admin = admin).await
    }

    async fn amend(
        &self,
        user: &UserId,
        amend: impl Fn(&mut Account) + Send + Sync + 'static,
    ) -> Result<(), StandingError> {
        let user = user.to_owned();
        self.context
            .change(move |rows, batch| {
                let old = active(rows, user.localpart())?;
                let mut account = old.clone();
                amend(&mut account);
                accounts::require(batch, user.localpart(), Some(&old));
                accounts::put(batch, user.localpart(), &account);
                Ok(((), vec![Change::Account { user: user.localpart().to_owned() }]))
            })
            .await
    }

    /// Ends all sessions and the ways to open new ones; that the user leaves his rooms is noted to
    /// be done. With `erase`, also his profile is gone.
    pub async fn deactivate(&self, user: &UserId, erase: bool) -> Result<(), StandingError> {
        let user = user.to_owned();
        self.context.change(move |rows, batch| deactivate(rows, batch, &user, erase)).await
    }
}

fn deactivate(
    rows: &Snapshot,
    batch: &mut Batch,
    user: &UserId,
    erase: bool,
) -> Result<((), LogEntry), StandingError> {
    let localpart = user.localpart();
    let old = active(rows, localpart)?;
    accounts::require(batch, localpart, Some(&old));
    let account = Account { password: None, deactivated: true, admin: false, ..old };
    accounts::put(batch, localpart, &account);
    removal::remove_all_but(rows, batch, user, None)?;
    account_data::delete_all(batch, localpart);
    accounts::put_unfinished(batch, localpart);
    let mut changes = removal::changes(user);
    changes.push(Change::Profile { user: localpart.to_owned() });
    let profile = accounts::profile(rows, localpart)?;
    if erase && !profile.fields.is_empty() {
        accounts::put_profile(batch, localpart, &Profile::default(), &profile);
    }
    Ok(((), changes))
}

fn active(rows: &Snapshot, localpart: &str) -> Result<Account, StandingError> {
    let account = accounts::get(rows, localpart)?.filter(|account| !account.deactivated);
    account.ok_or(StandingError::UnknownUser)
}

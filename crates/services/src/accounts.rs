//! Local accounts: registering, passwords, deactivating.
//!
//! A name belongs to whoever's registration is committed first, and is never given out again.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#account-registration-and-management>

use std::sync::Arc;

use kv::{CommitError, StoreError};
use ruma::{OwnedUserId, UserId, push::Ruleset};
use store::{account_data, accounts, log::Change};

use crate::{
    Context,
    appservices::{Appservice, Appservices},
    devices::removal,
    passwords::{PasswordError, Passwords},
    push_rules,
    sessions::{Caller, NewSession, OpenSession, SessionError, Sessions},
};

mod names;
mod standing;
#[cfg(test)]
mod tests;

pub use store::accounts::Account;

pub use self::{names::NameError, standing::StandingError};

/// Who may register without an administrator, and how.
#[derive(Clone, Debug)]
pub struct RegistrationPolicy {
    /// Everybody may.
    pub open: bool,
    /// Whoever has one of these tokens may.
    pub tokens: Vec<String>,
    /// The secret of the administrators' registration; empty: there is none.
    pub shared_secret: String,
    /// Localparts that only administrators may register.
    pub reserved: Vec<String>,
    pub password_length_min: usize,
}

impl Default for RegistrationPolicy {
    fn default() -> Self {
        Self {
            open: false,
            tokens: Vec::new(),
            shared_secret: String::new(),
            reserved: Vec::new(),
            password_length_min: 8,
        }
    }
}

/// Characters of a password at most.
pub const PASSWORD_LENGTH_MAX: usize = 512;

/// An account to be made.
#[derive(Clone, Debug, Default)]
pub struct NewAccount {
    /// A name is drawn when it is `None`.
    pub username: Option<String>,
    /// Without one, nobody can log in with a password.
    pub password: Option<String>,
    pub admin: bool,
    /// An administrator makes it: the name may be reserved.
    pub by_admin: bool,
    /// An appservice makes it: it may take a name of its own namespaces, and no other.
    pub appservice: Option<Arc<Appservice>>,
    /// The session to open at once.
    pub session: Option<NewSession>,
}

#[derive(Clone)]
pub struct Registered {
    pub user_id: OwnedUserId,
    pub session: Option<OpenSession>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum RegisterError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("the password is shorter than {length_min} characters")]
    WeakPassword { length_min: usize },
    #[error("the password is longer than {PASSWORD_LENGTH_MAX} characters")]
    LongPassword,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct Accounts {
    context: Context,
    policy: RegistrationPolicy,
    appservices: Appservices,
    passwords: Arc<Passwords>,
    sessions: Arc<Sessions>,
}

impl Accounts {
    pub fn new(
        context: Context,
        (policy, appservices): (RegistrationPolicy, Appservices),
        passwords: Arc<Passwords>,
        sessions: Arc<Sessions>,
    ) -> Self {
        Self { context, policy, appservices, passwords, sessions }
    }

    pub fn policy(&self) -> &RegistrationPolicy {
        &self.policy
    }

    /// Whether the name could be registered now by anybody; says why not.
    pub async fn check_available(&self, username: &str) -> Result<(), RegisterError> {
        let localpart = self.allowed_name(username, &NewAccount::default())?;
        let taken = self.context.store.read(move |rows| accounts::get(rows, &localpart)).await?;
        if taken.is_some() { Err(NameError::InUse.into()) } else { Ok(()) }
    }

    pub async fn register(&self, new: NewAccount) -> Result<Registered, RegisterError> {
        let localpart = match &new.username {
            Some(username) => self.allowed_name(username, &new)?,
            None => self.context.ids.localpart(),
        };
        // Before the expensive hash; what counts is the precondition of the batch.
        let name = localpart.clone();
        if self.context.store.read(move |rows| accounts::get(rows, &name)).await?.is_some() {
            return Err(NameError::InUse.into());
        }
        let password = match &new.password {
            Some(password) => Some(self.hash_acceptable(password).await?),
            None => None,
        };
        let account = Account {
            created_ms: self.context.clock.now_ms(),
            password,
            admin: new.admin,
            suspended: false,
            locked: false,
            deactivated: false,
        };
        self.store_new(localpart, account, new.session).await
    }

    async fn store_new(
        &self,
        localpart: String,
        account: Account,
        session: Option<NewSession>,
    ) -> Result<Registered, RegisterError> {
        let user_id = self.context.user_id(&localpart);
        let rules = push_rules::content(&Ruleset::server_default(&user_id));
        let session = session.map(|new| self.sessions.plan(&localpart, new)).transpose()?;
        let opened = session.as_ref().map(|session| session.opened.clone());
        self.context
            .change(move |rows, batch| {
                if accounts::get(rows, &localpart)?.is_some() {
                    return Err(RegisterError::from(NameError::InUse));
                }
                accounts::require(batch, &localpart, None);
                accounts::put(batch, &localpart, &account);
                let kind = (None, push_rules::KIND);
                account_data::put(batch, &localpart, kind, rules.as_bytes(), None);
                if let Some(session) = &session {
                    session.write(rows, batch)?;
                }
                let user = localpart.clone();
                let data = Change::AccountData { user: user.clone(), room: None };
                Ok(((), vec![Change::Account { user }, data]))
            })
            .await?;
        Ok(Registered { user_id, session: opened })
    }

    /// Whether it is the account's password. `false` also when there is no such account, or one
    /// that takes no password.
    pub async fn has_password(
        &self,
        localpart: &str,
        password: &str,
    ) -> Result<bool, RegisterError> {
        let hash = self.find(localpart).await?.and_then(|account| account.password);
        Ok(self.passwords.matches(password, hash).await?)
    }

    pub async fn find(&self, localpart: &str) -> Result<Option<Account>, StoreError> {
        let localpart = localpart.to_owned();
        self.context.store.read(move |rows| accounts::get(rows, &localpart)).await
    }

    /// The account of a user of ours.
    pub async fn find_user(&self, user: &UserId) -> Result<Option<Account>, StoreError> {
        if self.context.is_local(user) { self.find(user.localpart()).await } else { Ok(None) }
    }

    /// Gives the caller a new password, and ends his other sessions if he wants that.
    pub async fn change_password(
        &self,
        caller: &Caller,
        password: &str,
        end_other_sessions: bool,
    ) -> Result<(), RegisterError> {
        let kept = caller.device_id.as_ref().map(|id| id.to_string());
        self.set_password(&caller.user_id, password, end_other_sessions.then_some(kept)).await
    }

    /// Sets a password. With `end_sessions`, all sessions end but that of the device inside.
    pub async fn set_password(
        &self,
        user_id: &UserId,
        password: &str,
        end_sessions: Option<Option<String>>,
    ) -> Result<(), RegisterError> {
        let hash = self.hash_acceptable(password).await?;
        let user_id = user_id.to_owned();
        self.context
            .change(move |rows, batch| {
                let localpart = user_id.localpart();
                let Some(old) = accounts::get(rows, localpart)?.filter(|old| !old.deactivated)
                else {
                    return Err(RegisterError::Session(SessionError::Refused));
                };
                accounts::require(batch, localpart, Some(&old));
                accounts::put(batch, localpart, &Account { password: Some(hash.clone()), ..old });
                if let Some(kept) = &end_sessions {
                    removal::remove_all_but(rows, batch, &user_id, kept.as_deref())?;
                }
                Ok(((), removal::changes(&user_id)))
            })
            .await
    }

    async fn hash_acceptable(&self, password: &str) -> Result<String, RegisterError> {
        let length_min = self.policy.password_length_min;
        match password.chars().count() {
            length if length < length_min => Err(RegisterError::WeakPassword { length_min }),
            length if length > PASSWORD_LENGTH_MAX => Err(RegisterError::LongPassword),
            _ => Ok(self.passwords.hash(password).await?),
        }
    }
}

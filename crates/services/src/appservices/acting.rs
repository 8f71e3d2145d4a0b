//! An appservice acts: for its own user, or for one in its namespaces.
//!
//! <https://spec.matrix.org/v1.19/application-service-api/#identity-assertion>

use std::sync::Arc;

use kv::{Snapshot, StoreError};
use ruma::{OwnedDeviceId, OwnedUserId};
use store::{accounts, devices};

use super::{Appservice, Appservices};
use crate::{
    Context,
    accounts::{Accounts, NameError, NewAccount, RegisterError, Registered},
    login::{Login, LoginError},
    sessions::{Caller, NewSession, OpenSession},
};

/// As whom an appservice asks for something.
#[derive(Clone, Debug, Default)]
pub struct Role {
    /// Its own user when `None`.
    pub user: Option<OwnedUserId>,
    pub device: Option<OwnedDeviceId>,
}

/// Why an appservice may not act so.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ActError {
    #[error("the user is in none of the appservice's namespaces")]
    NotCovered,
    #[error("the user was not registered yet, or was deactivated")]
    NoAccount,
    #[error("the user has no such device")]
    UnknownDevice,
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Read(#[from] StoreError),
}

/// What appservices do that other clients may not.
pub struct Actors {
    context: Context,
    list: Appservices,
    accounts: Arc<Accounts>,
    login: Arc<Login>,
}

impl Actors {
    pub fn new(
        context: Context,
        list: Appservices,
        accounts: Arc<Accounts>,
        login: Arc<Login>,
    ) -> Self {
        Self { context, list, accounts, login }
    }

    pub fn list(&self) -> &Appservices {
        &self.list
    }

    /// The caller that the appservice is in this role. Its own user is made when it is first needed;
    /// others it must have registered.
    pub async fn act(&self, appservice: &Arc<Appservice>, role: Role) -> Result<Caller, ActError> {
        let user_id = role.user.unwrap_or_else(|| appservice.sender.clone());
        if !self.context.is_local(&user_id) || !appservice.covers_user(&user_id) {
            return Err(ActError::NotCovered);
        }
        let is_sender = user_id == appservice.sender;
        let caller = Caller {
            user_id,
            device_id: role.device,
            admin: false,
            suspended: false,
            locked: false,
            unlimited: is_sender || !appservice.rate_limited,
            appservice: Some(Arc::clone(appservice)),
        };
        match self.known(caller.clone()).await {
            Err(ActError::NoAccount) if is_sender => {
                self.make_sender(appservice).await?;
                self.known(caller).await
            }
            known => known,
        }
    }

    /// The caller with what the store says of him.
    async fn known(&self, caller: Caller) -> Result<Caller, ActError> {
        self.context
            .store
            .read(move |rows: &Snapshot| {
                let account = accounts::get(rows, caller.localpart())?;
                let account = account.filter(|account| !account.deactivated);
                let account = account.ok_or(ActError::NoAccount)?;
                if let Some(device) = &caller.device_id
                    && devices::get(rows, caller.localpart(), device.as_str())?.is_none()
                {
                    return Err(ActError::UnknownDevice);
                }
                // An administrator's rights are his own, not those of a program that acts for him.
                Ok(Caller { suspended: account.suspended, locked: account.locked, ..caller })
            })
            .await
    }

    async fn make_sender(&self, appservice: &Arc<Appservice>) -> Result<(), ActError> {
        let new = NewAccount {
            username: Some(appservice.sender.localpart().to_owned()),
            appservice: Some(Arc::clone(appservice)),
            ..NewAccount::default()
        };
        match self.accounts.register(new).await {
            // Another of its requests was faster.
            Ok(_) | Err(RegisterError::Name(NameError::InUse)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a user of the appservice's, who has no password.
    pub async fn register(
        &self,
        appservice: &Arc<Appservice>,
        username: String,
        session: Option<NewSession>,
    ) -> Result<Registered, ActError> {
        let new = NewAccount {
            username: Some(username),
            session,
            appservice: Some(Arc::clone(appservice)),
            ..NewAccount::default()
        };
        Ok(self.accounts.register(new).await?)
    }

    /// Opens a session of one of the appservice's users. `user` is a localpart or a full user id.
    pub async fn log_in(
        &self,
        appservice: &Appservice,
        user: &str,
        session: NewSession,
    ) -> Result<OpenSession, ActError> {
        let user_id = self.login.user_id(user).ok_or(ActError::NotCovered)?;
        if !appservice.covers_user(&user_id) {
            return Err(ActError::NotCovered);
        }
        Ok(self.login.vouched_for(user_id.localpart(), session).await?)
    }
}

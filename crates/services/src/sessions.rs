//! Sessions: a device of a user, and the tokens that speak for it.
//!
//! A token is 256 random bits; the store holds its SHA-256 only. Who a token speaks for is kept in
//! memory and forgotten as soon as the log says that the user's account, sessions or devices
//! changed, so that a token is dead for every request that starts after its logout was answered.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#client-authentication>

use std::{sync::Arc, time::Duration};

use kv::{Batch, CommitError, Snapshot, StoreError};
use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedUserId};
use store::{
    accounts,
    devices::{self, Device, TokenPair},
    log::Change,
    tokens::{self, Purpose, Token, TokenHash},
};

use crate::{
    Context, appservices::Appservice, devices::removal, sessions::cache::Cache,
    sessions::seen::Seen,
};

mod cache;
mod refresh;
mod seen;
#[cfg(test)]
mod tests;

pub use self::refresh::RefreshError;

/// Who asks: a local user through one of his devices. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub user_id: OwnedUserId,
    /// `None` only for an appservice that acts for the user itself.
    pub device_id: Option<OwnedDeviceId>,
    pub admin: bool,
    /// May read, but not write to others.
    pub suspended: bool,
    /// May only log out.
    pub locked: bool,
    /// Is not held to the rate limits.
    pub unlimited: bool,
    /// The appservice that acts for the user.
    pub appservice: Option<Arc<Appservice>>,
}

impl Caller {
    pub fn localpart(&self) -> &str {
        self.user_id.localpart()
    }

    /// The device id as keys of the store want it.
    pub fn device(&self) -> &str {
        self.device_id.as_ref().map_or("", |id| id.as_str())
    }
}

/// How long tokens live.
#[derive(Clone, Copy, Debug)]
pub struct TokenLifetimes {
    /// Of an access token that comes with a refresh token. One without lives until the logout.
    pub refreshable_access: Duration,
    /// Of a refresh token that is not used; `None`: until the logout.
    pub refresh: Option<Duration>,
}

impl Default for TokenLifetimes {
    fn default() -> Self {
        Self { refreshable_access: Duration::from_secs(5 * 60), refresh: None }
    }
}

/// What a client asks for when it logs in.
#[derive(Clone, Debug, Default)]
pub struct NewSession {
    /// The device to continue; a new one when `None`.
    pub device_id: Option<OwnedDeviceId>,
    /// The name of the device, if it is new.
    pub display_name: Option<String>,
    /// The client can refresh its tokens.
    pub refreshable: bool,
}

/// A session as its client is told of it: the only time that the tokens are seen.
#[derive(Clone)]
pub struct OpenSession {
    pub user_id: OwnedUserId,
    pub device_id: OwnedDeviceId,
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub expires_in: Option<Duration>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthenticateError {
    #[error("nobody has this token")]
    UnknownToken,
    #[error("the token has expired")]
    Expired,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionError {
    #[error("a device id has 1 to {DEVICE_ID_BYTES_MAX} bytes")]
    InvalidDeviceId,
    #[error("the account takes no sessions")]
    Refused,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Bytes of a device id. The specification has no limit; user ids have this one.
pub const DEVICE_ID_BYTES_MAX: usize = 255;

pub struct Sessions {
    context: Context,
    lifetimes: TokenLifetimes,
    cache: Arc<Mutex<Cache>>,
    seen: Mutex<Seen>,
}

impl Sessions {
    pub fn new(context: Context, lifetimes: TokenLifetimes) -> Self {
        let cache = Arc::new(Mutex::new(Cache::default()));
        context.log.follow(Arc::new(cache::Invalidation(Arc::clone(&cache))));
        Self { context, lifetimes, cache, seen: Mutex::default() }
    }

    /// Whom an access token speaks for.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, AuthenticateError> {
        if token.is_empty() {
            return Err(AuthenticateError::UnknownToken);
        }
        let hash = tokens::hash(token);
        let now_ms = self.context.clock.now_ms();
        let generation = match self.cache.lock().get(&hash) {
            Ok((_, Some(expires_ms))) if expires_ms <= now_ms => {
                return Err(AuthenticateError::Expired);
            }
            Ok((caller, _)) => return Ok(caller),
            Err(generation) => generation,
        };
        let context = self.context.clone();
        let found = self.context.store.read(move |rows| load(&context, rows, &hash));
        let Some(found) = found.await? else { return Err(AuthenticateError::UnknownToken) };
        if found.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms) {
            return Err(AuthenticateError::Expired);
        }
        if found.retires_others {
            self.retire_others(hash, &found.caller).await?;
        }
        self.cache.lock().insert(generation, hash, found.caller.clone(), found.expires_ms);
        Ok(found.caller)
    }

    /// Opens a session for an account that has proved who it is.
    pub async fn open(
        &self,
        localpart: &str,
        new: NewSession,
    ) -> Result<OpenSession, SessionError> {
        let planned = self.plan(localpart, new)?;
        let opened = planned.opened.clone();
        let localpart = localpart.to_owned();
        self.context
            .change(move |rows, batch| {
                let account = accounts::get(rows, &localpart)?;
                if account.as_ref().is_none_or(|account| account.deactivated) {
                    return Err(SessionError::Refused);
                }
                accounts::require(batch, &localpart, account.as_ref());
                planned.write(rows, batch)?;
                Ok(((), vec![Change::Account { user: localpart.clone() }]))
            })
            .await?;
        Ok(opened)
    }

    /// Draws what a session needs, to be written in a batch of the caller's.
    pub(crate) fn plan(
        &self,
        localpart: &str,
        new: NewSession,
    ) -> Result<PlannedSession, SessionError> {
        let ids = &self.context.ids;
        let device_id = new.device_id.unwrap_or_else(|| ids.device_id());
        if device_id.as_str().is_empty() || device_id.as_str().len() > DEVICE_ID_BYTES_MAX {
            return Err(SessionError::InvalidDeviceId);
        }
        let now_ms = self.context.clock.now_ms();
        let expires_in = new.refreshable.then_some(self.lifetimes.refreshable_access);
        let refresh_lifetime = self.lifetimes.refresh;
        Ok(PlannedSession {
            localpart: localpart.to_owned(),
            display_name: new.display_name,
            now_ms,
            access_expires_ms: expires_in.map(|after| now_ms + after.as_millis() as u64),
            refresh_expires_ms: refresh_lifetime.map(|after| now_ms + after.as_millis() as u64),
            opened: OpenSession {
                user_id: self.context.user_id(localpart),
                device_id,
                access_token: ids.token(),
                refresh_token: new.refreshable.then(|| ids.token()),
                expires_in,
            },
        })
    }

    /// Ends the caller's session, and with it his device.
    pub async fn close(&self, caller: &Caller) -> Result<(), SessionError> {
        let Some(device_id) = caller.device_id.clone() else { return Ok(()) };
        let user_id = caller.user_id.clone();
        self.context
            .change(move |rows, batch| {
                removal::remove(rows, batch, &user_id, device_id.as_str())?;
                Ok(((), removal::changes(&user_id)))
            })
            .await
    }

    /// Ends all sessions of the user.
    pub async fn close_all(&self, caller: &Caller) -> Result<(), SessionError> {
        let user_id = caller.user_id.clone();
        self.context
            .change(move |rows, batch| {
                removal::remove_all_but(rows, batch, &user_id, None)?;
                Ok(((), removal::changes(&user_id)))
            })
            .await
    }

    /// A client that uses its new tokens has received them: the old ones are dead from now on.
    async fn retire_others(
        &self,
        hash: TokenHash,
        caller: &Caller,
    ) -> Result<(), AuthenticateError> {
        let (localpart, device_id) = (caller.localpart().to_owned(), caller.device().to_owned());
        self.context
            .change(move |rows, batch| {
                if let Some(device) = devices::get(rows, &localpart, &device_id)?
                    && let Some(newest) = device.pairs.last().copied()
                    && newest.access == hash
                {
                    let kept = Device { pairs: vec![newest], ..device.clone() };
                    delete_pairs(batch, &device.pairs[..device.pairs.len() - 1]);
                    devices::put(batch, &localpart, &device_id, &kept, Some(&device));
                }
                Ok(((), vec![Change::Account { user: localpart.clone() }]))
            })
            .await
    }
}

/// A session whose ids and times are drawn, but which is not stored yet.
pub(crate) struct PlannedSession {
    pub opened: OpenSession,
    localpart: String,
    display_name: Option<String>,
    now_ms: u64,
    access_expires_ms: Option<u64>,
    refresh_expires_ms: Option<u64>,
}

impl PlannedSession {
    /// A device that exists keeps its name; the tokens that spoke for it are dead.
    pub fn write(&self, rows: &Snapshot, batch: &mut Batch) -> Result<(), StoreError> {
        let device_id = self.opened.device_id.as_str();
        let old = devices::get(rows, &self.localpart, device_id)?;
        delete_pairs(batch, old.as_ref().map_or(&[], |device| &device.pairs));
        let device = Device {
            display_name: match &old {
                Some(device) => device.display_name.clone(),
                None => self.display_name.clone(),
            },
            created_ms: old.as_ref().map_or(self.now_ms, |device| device.created_ms),
            pairs: vec![self.write_pair(batch)],
        };
        devices::put(batch, &self.localpart, device_id, &device, old.as_ref());
        Ok(())
    }

    fn write_pair(&self, batch: &mut Batch) -> TokenPair {
        let device_id = self.opened.device_id.to_string();
        let mut put = |token: &str, purpose, expires_ms| {
            let hash = tokens::hash(token);
            let localpart = self.localpart.clone();
            tokens::put(batch, &hash, &Token { localpart, purpose, expires_ms });
            hash
        };
        let purpose = Purpose::Access { device_id: device_id.clone() };
        let access = put(&self.opened.access_token, purpose, self.access_expires_ms);
        let refresh = self.opened.refresh_token.as_ref().map(|token| {
            put(token, Purpose::Refresh { device_id: device_id.clone() }, self.refresh_expires_ms)
        });
        TokenPair { access, refresh }
    }
}

pub(crate) fn delete_pairs(batch: &mut Batch, pairs: &[TokenPair]) {
    for hash in pairs.iter().flat_map(|pair| [Some(pair.access), pair.refresh]).flatten() {
        tokens::delete(batch, &hash);
    }
}

/// What the store says of an access token.
struct Found {
    caller: Caller,
    expires_ms: Option<u64>,
    /// The first use of a refreshed token.
    retires_others: bool,
}

fn load(context: &Context, rows: &Snapshot, hash: &TokenHash) -> Result<Option<Found>, StoreError> {
    let Some(token) = tokens::get(rows, hash)? else { return Ok(None) };
    let Purpose::Access { device_id } = token.purpose else { return Ok(None) };
    let account = accounts::get(rows, &token.localpart)?.filter(|account| !account.deactivated);
    let device = devices::get(rows, &token.localpart, &device_id)?;
    let (Some(account), Some(device)) = (account, device) else { return Ok(None) };
    let newest = device.pairs.last().is_some_and(|pair| pair.access == *hash);
    let caller = Caller {
        user_id: context.user_id(&token.localpart),
        device_id: Some(device_id.into()),
        admin: account.admin,
        suspended: account.suspended,
        locked: account.locked,
        unlimited: false,
        appservice: None,
    };
    let retires_others = newest && device.pairs.len() > 1;
    Ok(Some(Found { caller, expires_ms: token.expires_ms, retires_others }))
}

//! Profiles: what users show of themselves.
//!
//! What is shown in rooms too is noted in the same batch as not finished, until the user's member
//! events have followed (see [`crate::member_events`]).
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#profiles>

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use futures_util::future::BoxFuture;
use kv::{CommitError, StoreError};
use ruma::UserId;
use serde_json::Value;
use store::{
    accounts::{self, Profile},
    log::Change,
};

use crate::{Context, rooms::remote::RemoteError, sessions::Caller};

#[cfg(test)]
mod tests;

/// Bytes of a whole profile as JSON: "the total profile MUST be under 64 KiB".
const PROFILE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a field's name: "the maximum allowed key length of 255 bytes".
const NAME_BYTES_MAX: usize = 255;
/// Characters of a display name, and bytes of an avatar's address: they are copied into a member
/// event of every room, which must not grow too large by them.
const DISPLAY_NAME_LENGTH_MAX: usize = 256;
const AVATAR_URL_BYTES_MAX: usize = 1_000;

pub const DISPLAY_NAME: &str = "displayname";
pub const AVATAR_URL: &str = "avatar_url";
/// What member events show of a profile.
const IN_MEMBER_EVENTS: [&str; 2] = [DISPLAY_NAME, AVATAR_URL];

#[derive(Clone, Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("this is no name for a profile field")]
    InvalidName,
    #[error("the name of the profile field is too long")]
    LongName,
    #[error("the value of {0} is not acceptable")]
    InvalidValue(&'static str),
    #[error("the profile would be too large")]
    TooLarge,
    #[error("there is no such account")]
    UnknownUser,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// The fields of a profile by their names.
pub type Fields = BTreeMap<String, Value>;

/// Asks other servers for their users' profiles. `federation` implements it.
pub trait RemoteProfiles: Send + Sync {
    fn profile<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, Result<Fields, RemoteError>>;
}

pub struct Profiles {
    context: Context,
    remote: OnceLock<Arc<dyn RemoteProfiles>>,
}

impl Profiles {
    pub fn new(context: Context) -> Self {
        Self { context, remote: OnceLock::new() }
    }

    /// Plugs in the way to other servers, once.
    pub fn connect(&self, remote: Arc<dyn RemoteProfiles>) {
        let _only_once = self.remote.set(remote);
    }

    /// The fields of any user; of another server's user, as far as that server tells them.
    pub async fn of_anybody(&self, user: &UserId) -> Result<Option<Fields>, StoreError> {
        if self.context.is_local(user) {
            return self.get(user).await;
        }
        let Some(remote) = self.remote.get() else { return Ok(None) };
        match remote.profile(user).await {
            Ok(fields) => Ok(Some(fields)),
            Err(error) => {
                tracing::debug!(server = %user.server_name(), %error, "no profile was told");
                Ok(None)
            }
        }
    }

    /// The fields of a local user; `None` when there is no such user.
    pub async fn get(&self, user: &UserId) -> Result<Option<Fields>, StoreError> {
        if !self.context.is_local(user) {
            return Ok(None);
        }
        let localpart = user.localpart().to_owned();
        let profile = self.context.store.read(move |rows| {
            let account = accounts::get(rows, &localpart)?;
            account.map(|_| accounts::profile(rows, &localpart)).transpose()
        });
        let Some(profile) = profile.await? else { return Ok(None) };
        let field = |(name, text): (String, String)| {
            let value = serde_json::from_str(&text);
            value.map(|value| (name, value)).map_err(|_| store::value::corrupt("profile field"))
        };
        profile.fields.into_iter().map(field).collect::<Result<_, _>>().map(Some)
    }

    /// Sets a field; `None` removes it.
    pub async fn set(
        &self,
        caller: &Caller,
        name: &str,
        value: Option<&Value>,
    ) -> Result<(), ProfileError> {
        check_name(name)?;
        let value = value.filter(|value| !removes(name, value));
        if let Some(value) = value {
            check_value(name, value)?;
        }
        let (localpart, name) = (caller.localpart().to_owned(), name.to_owned());
        let text = value.map(Value::to_string);
        self.context
            .change(move |rows, batch| {
                if accounts::get(rows, &localpart)?.is_none_or(|account| account.deactivated) {
                    return Err(ProfileError::UnknownUser);
                }
                let old = accounts::profile(rows, &localpart)?;
                let new = with_field(&old, &name, text.as_ref());
                if size(&new) > PROFILE_BYTES_MAX {
                    return Err(ProfileError::TooLarge);
                }
                if new == old {
                    return Ok(((), Vec::new()));
                }
                accounts::put_profile(batch, &localpart, &new, &old);
                if IN_MEMBER_EVENTS.contains(&name.as_str()) {
                    accounts::put_unfinished(batch, &localpart);
                }
                Ok(((), vec![Change::Profile { user: localpart.clone() }]))
            })
            .await
    }
}

fn with_field(old: &Profile, name: &str, text: Option<&String>) -> Profile {
    let mut profile = old.clone();
    match text {
        Some(text) => profile.fields.insert(name.to_owned(), text.clone()),
        None => profile.fields.remove(name),
    };
    profile
}

/// Bytes of the profile as a JSON object: the names with their quotes, colons and commas.
fn size(profile: &Profile) -> usize {
    profile.fields.iter().map(|(name, text)| name.len() + text.len() + 4).sum::<usize>() + 2
}

/// Clients unset their name or avatar by an empty or missing value.
fn removes(name: &str, value: &Value) -> bool {
    IN_MEMBER_EVENTS.contains(&name) && (value.is_null() || value == "")
}

/// "The Common Namespaced Identifier Grammar": a lower-case letter, then a-z, 0-9, ., _ and -.
fn check_name(name: &str) -> Result<(), ProfileError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(ProfileError::LongName);
    }
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    match name.as_bytes() {
        [b'a'..=b'z', rest @ ..] if rest.iter().copied().all(is_allowed) => Ok(()),
        _ => Err(ProfileError::InvalidName),
    }
}

fn check_value(name: &str, value: &Value) -> Result<(), ProfileError> {
    let text = value.as_str();
    match name {
        DISPLAY_NAME => match text {
            Some(text) if text.chars().count() <= DISPLAY_NAME_LENGTH_MAX => Ok(()),
            _ => Err(ProfileError::InvalidValue(DISPLAY_NAME)),
        },
        AVATAR_URL => match text {
            Some(text) if text.len() <= AVATAR_URL_BYTES_MAX => Ok(()),
            _ => Err(ProfileError::InvalidValue(AVATAR_URL)),
        },
        _ => Ok(()),
    }
}

//! Pushers: where devices want to be told of events while they are not syncing.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#push-notifications>

use kv::{CommitError, StoreError};
pub use store::pushers::{Pusher, PusherId};
use store::{log::Change, pushers};

use crate::{Context, sessions::Caller};

#[cfg(test)]
mod tests;

/// "Max length, 64 chars."
const APP_ID_BYTES_MAX: usize = 64;
/// "Max length, 512 bytes."
const PUSHKEY_BYTES_MAX: usize = 512;
/// Bytes of everything that a client says of a pusher.
const PUSHER_BYTES_MAX: usize = 16 * 1024;
/// Pushers of a user.
const PUSHERS_MAX: usize = 100;

#[derive(Clone, Debug, thiserror::Error)]
pub enum PusherError {
    #[error("the app id, the push key or the pusher is too long")]
    TooLong,
    #[error("the user has too many pushers")]
    TooMany,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct Pushers {
    context: Context,
}

impl Pushers {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    pub async fn of(&self, localpart: &str) -> Result<Vec<(PusherId, Pusher)>, StoreError> {
        let localpart = localpart.to_owned();
        self.context.store.read(move |rows| pushers::of_user(rows, &localpart)).await
    }

    /// Sets the pusher. Unless `shared`, other users of the same app on the same device (those
    /// with the same id) lose theirs.
    pub async fn set(
        &self,
        caller: &Caller,
        id: PusherId,
        json: String,
        shared: bool,
    ) -> Result<(), PusherError> {
        let long = id.app_id.len() > APP_ID_BYTES_MAX
            || id.pushkey.len() > PUSHKEY_BYTES_MAX
            || json.len() > PUSHER_BYTES_MAX;
        if long {
            return Err(PusherError::TooLong);
        }
        let (localpart, device_id) = (caller.localpart().to_owned(), caller.device().to_owned());
        let created_ms = self.context.clock.now_ms();
        self.context
            .change(move |rows, batch| {
                let own = pushers::of_user(rows, &localpart)?;
                let is_new = own.iter().all(|(other, _)| *other != id);
                if is_new && own.len() >= PUSHERS_MAX {
                    return Err(PusherError::TooMany);
                }
                let mut changes = vec![Change::Account { user: localpart.clone() }];
                let others = if shared { Vec::new() } else { pushers::users(rows, &id)? };
                for user in others.into_iter().filter(|user| *user != localpart) {
                    pushers::delete(batch, &user, &id);
                    changes.push(Change::Account { user });
                }
                let pusher =
                    Pusher { device_id: device_id.clone(), created_ms, json: json.clone() };
                pushers::put(batch, &localpart, &id, &pusher);
                Ok(((), changes))
            })
            .await
    }

    /// Deletes the pusher, if there is one.
    pub async fn remove(&self, localpart: &str, id: PusherId) -> Result<(), PusherError> {
        let user = localpart.to_owned();
        self.context
            .change(move |rows, batch| {
                if pushers::of_user(rows, &user)?.iter().any(|(other, _)| *other == id) {
                    pushers::delete(batch, &user, &id);
                }
                Ok(((), vec![Change::Account { user: user.clone() }]))
            })
            .await
    }
}

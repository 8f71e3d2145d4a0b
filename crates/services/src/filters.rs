//! Filters that clients store for their /sync.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#filtering>

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use kv::{CommitError, StoreError};
use sha2::{Digest, Sha256};
use store::{filters, log::Change};

use crate::{Context, sessions::Caller};

#[cfg(test)]
mod tests;

/// Filters of a user. Clients use a handful; the rest would be a way to fill the disk.
const FILTERS_MAX: usize = 500;
/// Bytes of a filter.
const FILTER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the digest that make an id.
const ID_BYTES: usize = 12;

#[derive(Clone, Debug, thiserror::Error)]
pub enum FilterError {
    #[error("the filter is too large")]
    TooLarge,
    #[error("the user has too many filters")]
    TooMany,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct Filters {
    context: Context,
}

impl Filters {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// Stores the filter's JSON text and gives its id. The same filter has the same id.
    pub async fn put(&self, caller: &Caller, filter: &str) -> Result<String, FilterError> {
        if filter.len() > FILTER_BYTES_MAX {
            return Err(FilterError::TooLarge);
        }
        let id = URL_SAFE_NO_PAD.encode(&Sha256::digest(filter.as_bytes())[..ID_BYTES]);
        let (localpart, filter) = (caller.localpart().to_owned(), filter.to_owned());
        self.context
            .change(move |rows, batch| {
                if filters::get(rows, &localpart, &id)?.is_none() {
                    if filters::count(rows, &localpart)? >= FILTERS_MAX {
                        return Err(FilterError::TooMany);
                    }
                    filters::put(batch, &localpart, &id, filter.as_bytes());
                }
                Ok((id.clone(), vec![Change::Nothing]))
            })
            .await
    }

    /// The filter's JSON text.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Option<Bytes>, StoreError> {
        let (localpart, id) = (caller.localpart().to_owned(), id.to_owned());
        self.context.store.read(move |rows| filters::get(rows, &localpart, &id)).await
    }
}

//! Simplified sliding sync: a device asks for windows of its room list and for single rooms, and is
//! told what is new in them.
//!
//! What a device was told is kept in memory, for the position that it last asked with and for the
//! one that it was answered, because an answer may get lost. A device whose position is not known
//! any more begins anew.
//! Specification: MSC4186, <https://github.com/matrix-org/matrix-spec-proposals/pull/4186>.

use std::{sync::Arc, time::Duration};

use kv::{CommitError, StoreError};
use tokio::time::Instant;

use super::{News, SyncError, SyncQuery, Syncs, TIMEOUT_MAX, token::SyncToken};
use crate::reader::Reader;

pub mod answer;
mod connections;
mod extensions;
mod list;
pub mod request;
mod room;
mod window;

#[cfg(test)]
mod tests;

pub(super) use self::connections::Connections;
use self::{answer::SlidingAnswer, connections::Told, request::SlidingRequest, window::Window};

#[derive(Debug, thiserror::Error)]
pub enum SlidingError {
    /// The device must begin anew.
    #[error("the position is not known")]
    UnknownPosition,
    #[error("the device was logged out")]
    LoggedOut,
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Syncs {
    /// Answers at once if there is something to tell or if the device begins; otherwise waits for
    /// something until the timeout. `position` is what the last answer said. The news are those that
    /// come after what is answered.
    pub async fn slide(
        &self,
        reader: Reader,
        position: Option<&str>,
        timeout: Duration,
        request: SlidingRequest,
    ) -> Result<(SlidingAnswer, News), SlidingError> {
        let deadline = Instant::now() + timeout.min(TIMEOUT_MAX);
        let waits = position.is_some() && !timeout.is_zero();
        let told = self.connections.told(&reader, request.conn_id(), position);
        let told = Arc::new(told.ok_or(SlidingError::UnknownPosition)?);
        let mut news = News::new(self, reader.user.localpart());
        let (reader, request) = (Arc::new(reader), Arc::new(request));
        self.forget_received(&reader, request.received_messages()).await?;
        loop {
            let (typing, presence) = news.listen().await;
            let position = self.context.log.position();
            let end = SyncToken { log: position, typing, to_device: position, presence };
            let (mut answer, now) = self.look(&reader, &request, &told, end).await?;
            // Who waited was let in a while ago.
            if waits && self.is_logged_out(&reader, told.since).await {
                return Err(SlidingError::LoggedOut);
            }
            let overdue = Instant::now() >= deadline;
            if !answer.is_empty() || !waits || overdue {
                answer.pos = self.connections.keep(&reader, request.conn_id(), &told, now);
                return Ok((answer, news));
            }
            // When the time is over, the answer tells the new position.
            let _ = tokio::time::timeout_at(deadline, news.come()).await;
        }
    }

    /// Forgets the messages that the device says it has received, if any are kept.
    async fn forget_received(
        &self,
        reader: &Reader,
        position: Option<u64>,
    ) -> Result<(), SlidingError> {
        let (Some(position), Some(device)) = (position, &reader.device) else { return Ok(()) };
        let (localpart, device) = (reader.user.localpart().to_owned(), device.to_string());
        let kept = self.context.store.read(move |rows| {
            let owner = (localpart.as_str(), device.as_str());
            store::to_device::pending(rows, owner, (0, position), 1)
        });
        if !kept.await?.is_empty() {
            self.forget_messages(reader, position).await?;
        }
        Ok(())
    }

    async fn look(
        &self,
        reader: &Arc<Reader>,
        request: &Arc<SlidingRequest>,
        told: &Arc<Told>,
        end: SyncToken,
    ) -> Result<(SlidingAnswer, Told), SlidingError> {
        let syncs = self.clone();
        let (reader, request, told) = (Arc::clone(reader), Arc::clone(request), Arc::clone(told));
        let query = SyncQuery::default();
        let looking = self.context.store.read(move |rows| {
            Window::new(&syncs, rows, (&reader, &query), (&request, &told), end)?.answer()
        });
        Ok(looking.await?)
    }
}

impl From<SyncError> for SlidingError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::BadToken => Self::UnknownPosition,
            SyncError::LoggedOut => Self::LoggedOut,
            SyncError::Commit(error) => Self::Commit(error),
            SyncError::Store(error) => Self::Store(error),
        }
    }
}

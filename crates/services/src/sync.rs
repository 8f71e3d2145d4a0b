//! /sync: what changed for a device since it last asked, or everything that it needs to begin.
//!
//! The law: folding the answers since a position into what a client knew then gives what a fresh
//! initial sync gives. An incremental sync costs as much as there are changed rooms, however many
//! the user is in.
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#syncing>.

use std::{sync::Arc, time::Duration};

use kv::{CommitError, Snapshot, StoreError};
use store::log::Change;
use tokio::time::Instant;

use crate::{
    Context,
    filter::Filter,
    inbox::{Changes, Inboxes},
    presence::Presences,
    reader::Reader,
    typing::Typing,
    unread::Unread,
};

pub mod answer;
mod beside;
mod encryption;
mod gather;
mod lazy;
mod news;
mod rooms;
pub mod sliding;
mod state;
mod stripped;
mod summary;
pub mod token;

#[cfg(test)]
mod tests;

pub use self::news::News;
use self::{
    answer::SyncAnswer, gather::Gather, lazy::SentMembers, sliding::Connections, token::SyncToken,
};

#[derive(Clone, Debug, Default)]
pub struct SyncQuery {
    pub since: Option<String>,
    pub filter: Filter,
    pub full_state: bool,
    pub use_state_after: bool,
    pub timeout: Duration,
}

impl SyncQuery {
    /// Whether there is something to wait for: who begins anew is answered at once.
    pub fn may_wait(&self) -> bool {
        self.since.is_some() && !self.full_state
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error("the token is not one of ours")]
    BadToken,
    #[error("the device was logged out")]
    LoggedOut,
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Answers /sync for one homeserver. Cheap to clone.
#[derive(Clone)]
pub struct Syncs {
    context: Context,
    inboxes: Arc<Inboxes>,
    typing: Typing,
    presences: Presences,
    unread: Unread,
    sent_members: Arc<SentMembers>,
    connections: Arc<Connections>,
}

/// The longest that a client is kept waiting, whatever it asks for.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(120);

impl Syncs {
    pub fn new(
        context: Context,
        inboxes: Arc<Inboxes>,
        (typing, presences): (Typing, Presences),
        unread: Unread,
    ) -> Self {
        let connections = Arc::new(Connections::new(context.clock.now_ms()));
        let sent_members = Arc::default();
        Self { context, inboxes, typing, presences, unread, sent_members, connections }
    }

    /// Answers at once if there is something to tell, if the device begins anew, or if it asks for
    /// the full state; otherwise waits for something until the timeout, or until `stop`. The news
    /// are those that come after what is answered.
    pub async fn sync(
        &self,
        reader: Reader,
        query: Arc<SyncQuery>,
        stop: impl Future<Output = ()>,
    ) -> Result<(SyncAnswer, News), SyncError> {
        let deadline = Instant::now() + query.timeout.min(TIMEOUT_MAX);
        let since = query.since.as_deref().map(str::parse::<SyncToken>).transpose();
        let since = since.map_err(|_| SyncError::BadToken)?;
        let waits = query.may_wait() && !query.timeout.is_zero();
        let mut news = News::new(self, reader.user.localpart());
        let reader = Arc::new(reader);
        let mut stop = std::pin::pin!(stop);
        loop {
            let (typing, presence) = news.listen().await;
            let position = self.context.log.position();
            let until = SyncToken { log: position, typing, to_device: position, presence };
            let (answer, acknowledged) = self.gather(&reader, &query, since, until).await?;
            // Who waited was let in a while ago.
            if waits && self.is_logged_out(&reader, since).await {
                return Err(SyncError::LoggedOut);
            }
            if let Some(position) = acknowledged {
                // In a box: many wait, and few have messages to forget.
                Box::pin(self.forget_messages(&reader, position)).await?;
            }
            if !answer.is_empty() || !waits {
                return Ok((answer, news));
            }
            tokio::select! {
                () = news.come() => {}
                () = tokio::time::sleep_until(deadline) => return Ok((answer, news)),
                () = &mut stop => return Ok((answer, news)),
            }
        }
    }

    /// Whether the device, which knew this position, has been logged out since. Asks the store only
    /// if something happened to the user outside of rooms.
    async fn is_logged_out(&self, reader: &Reader, since: Option<SyncToken>) -> bool {
        let since = since.map_or(0, |since| since.log);
        let localpart = reader.user.localpart().to_owned();
        let Some(device) = reader.device.clone() else { return false };
        if let Some(Changes::Some { outside: false, .. }) = self.inboxes.known(&localpart, since) {
            return false;
        }
        let known = move |rows: &Snapshot| store::devices::get(rows, &localpart, device.as_str());
        // Whoever cannot ask goes on, and fails by the next look at the store.
        matches!(self.context.store.read(known).await, Ok(None))
    }

    async fn gather(
        &self,
        reader: &Arc<Reader>,
        query: &Arc<SyncQuery>,
        since: Option<SyncToken>,
        until: SyncToken,
    ) -> Result<(SyncAnswer, Option<u64>), SyncError> {
        let syncs = self.clone();
        let (reader, query) = (Arc::clone(reader), Arc::clone(query));
        let gathering = move |rows: &Snapshot| {
            let gather = Gather::new(&syncs, rows, &reader, &query, (since, until))?;
            Ok::<_, StoreError>((gather.answer()?, gather.acknowledged()?))
        };
        let store = &self.context.store;
        Ok(match since {
            Some(_) => store.read(gathering).await?,
            None => store.read_aside(gathering).await?,
        })
    }

    /// The device has shown that it has the messages up to the position.
    async fn forget_messages(&self, reader: &Reader, position: u64) -> Result<(), SyncError> {
        let Some(device) = &reader.device else { return Ok(()) };
        let mut batch = self.context.batch();
        let localpart = reader.user.localpart();
        store::to_device::delete_up_to(&mut batch, localpart, device.as_str(), position);
        self.context.log.commit(batch, vec![Change::Nothing]).await?;
        Ok(())
    }
}

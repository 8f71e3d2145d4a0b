//! What every service of a homeserver is given.

use std::sync::Arc;

use kv::{Batch, BatchId, CommitError, Snapshot, Store, StoreError};
use model::{clock::Clock, ids::Ids};
use ruma::{OwnedServerName, OwnedUserId, UserId};
use store::log::LogEntry;

use crate::{identity::CurrentKey, log::Log, recent::RecentEvents, turns::Turns};

/// How often a change is decided anew because somebody else was faster.
const ATTEMPTS_MAX: usize = 8;

/// What [`Context::change`] decided: the answer, and what the batch changes.
pub type Decision<T> = (T, LogEntry);

/// One homeserver's identity, store, log, time and randomness. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub server_name: OwnedServerName,
    /// Signs our events and requests.
    pub signing_key: CurrentKey,
    /// Mixed into the paths of state trees, so that no other server can choose them.
    pub state_salt: [u8; 16],
    pub store: Store,
    pub log: Arc<Log>,
    pub recent: Arc<RecentEvents>,
    pub turns: Arc<Turns>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
}

impl Context {
    /// An empty batch with an id of its own.
    pub fn batch(&self) -> Batch {
        Batch::new(BatchId(self.ids.batch_id()))
    }

    /// The full id of the local user with this localpart.
    pub fn user_id(&self, localpart: &str) -> OwnedUserId {
        let id = UserId::parse(format!("@{localpart}:{}", self.server_name));
        id.expect("a stored localpart was checked when its account was made")
    }

    pub fn is_local(&self, user: &UserId) -> bool {
        user.server_name() == self.server_name
    }

    /// Does work that takes long where it holds up nobody else; `None` when the process is stopping.
    pub async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.store.aside(work).await
    }

    /// Gathers, decides and commits. `decide` reads a snapshot, fills the batch and says what it
    /// changes; when a precondition of the batch no longer holds at the commit, it is asked again.
    /// It must not read the clock or draw ids: what it uses is drawn before.
    ///
    /// An empty batch is not committed.
    pub async fn change<T, E>(
        &self,
        decide: impl Fn(&Snapshot, &mut Batch) -> Result<Decision<T>, E> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<CommitError> + Send + 'static,
    {
        self.turns.take(self.change_now(decide)).await
    }

    async fn change_now<T, E>(
        &self,
        decide: impl Fn(&Snapshot, &mut Batch) -> Result<Decision<T>, E> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<CommitError> + Send + 'static,
    {
        let decide = Arc::new(decide);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (decide, mut batch) = (Arc::clone(&decide), self.batch());
            let gather = move |rows: &Snapshot| Ok((decide(rows, &mut batch)?, batch));
            let ((answer, changes), batch) = self.store.read::<_, E>(gather).await?;
            if batch.ops.is_empty() {
                return Ok(answer);
            }
            match self.log.commit(batch, changes).await {
                Ok(_) => return Ok(answer),
                Err(CommitError::Precondition(_)) if attempts < ATTEMPTS_MAX => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

//! A room's one writer: it holds what the next decision needs, and submits what was decided.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use kv::{Batch, CommitError, StoreError};
use parking_lot::Mutex;
use store::{log::Change, memberships::ServerInRoom, rooms::RoomHead};
use tokio::sync::Notify;

use super::{Draft, Room, Rooms, WriteError, draft::Drafted};
use crate::room_rows::{Event, RoomRows};

/// What a writer knows of its room as of the last batch that it submitted.
#[derive(Default)]
pub(crate) struct Writer {
    /// `None` until it is read, and again after a commit failed.
    pub known: Option<Known>,
    in_flight: Arc<InFlight>,
    /// How many batches were submitted.
    submitted: u64,
}

/// How much was submitted to a room when a question was asked of its rows.
pub(super) struct Submitted(u64);

/// Never older than the newest submitted batch.
#[derive(Clone, Default)]
pub(crate) struct Known {
    /// `None` for a room that does not exist yet.
    pub head: Option<RoomHead>,
    /// Parts of the current state; `None` where the state has no such event.
    pub state: HashMap<(String, String), Option<Event>>,
    pub servers: HashMap<String, Option<ServerInRoom>>,
}

#[derive(Default)]
struct InFlight {
    count: AtomicUsize,
    /// A commit failed: what the writer knows did not happen.
    failed: AtomicBool,
    landed: Notify,
}

/// What a draft came to.
pub struct Written<T> {
    pub value: T,
    /// Log position of the commit; `None` when there was nothing to write.
    pub position: Option<u64>,
}

/// State that a writer keeps in memory; beyond it is read again.
const STATE_KEPT_MAX: usize = 512;
/// How often a draft is made again because the room changed under it.
const ATTEMPTS_MAX: usize = 8;

impl Rooms {
    /// Lets `decide` draft changes to the room, commits them, and waits until they are durable and
    /// published. `decide` may be called several times, each time with a fresh draft; a draft that
    /// stays empty commits nothing.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        room: &Arc<Room>,
        decide: impl Fn(&mut Draft<'_>) -> Result<T, WriteError> + Send + Sync + 'static,
    ) -> Result<Written<T>, WriteError> {
        self.context().turns.take(self.write_now(room, decide)).await
    }

    async fn write_now<T: Send + 'static>(
        &self,
        room: &Arc<Room>,
        decide: impl Fn(&mut Draft<'_>) -> Result<T, WriteError> + Send + Sync + 'static,
    ) -> Result<Written<T>, WriteError> {
        let decide = Arc::new(decide);
        for attempt in 0..ATTEMPTS_MAX {
            let (value, commit) = {
                let mut writer = room.writer.lock().await;
                let (value, draft) = self.draft(room, &mut writer, attempt > 0, &decide).await?;
                (value, self.submit(&mut writer, draft))
            };
            let Some(commit) = commit else { return Ok(Written { value, position: None }) };
            match commit.await {
                Ok(position) => return Ok(Written { value, position: Some(position) }),
                // A commit that this one was built on failed, or the room was written elsewhere.
                Err(CommitError::Precondition(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(WriteError::Contended)
    }

    async fn draft<T: Send + 'static>(
        &self,
        room: &Arc<Room>,
        writer: &mut Writer,
        is_repeated: bool,
        decide: &Arc<impl Fn(&mut Draft<'_>) -> Result<T, WriteError> + Send + Sync + 'static>,
    ) -> Result<(T, Drafted), WriteError> {
        if writer.in_flight.failed.load(Ordering::Acquire) {
            writer.in_flight.drained().await;
            *writer = Writer { submitted: writer.submitted, ..Writer::default() };
        }
        // Most events need nothing but what the writer remembers: no thread is changed for them.
        if let Some(known) = writer.known.take() {
            let mut draft = Draft::new(self.context(), room, known, None);
            draft.is_repeated = is_repeated;
            match decide(&mut draft) {
                Ok(value) => return Ok((value, draft.drafted)),
                Err(error) => {
                    writer.known = Some(draft.drafted.abandon());
                    if !matches!(error, WriteError::NeedsRows) {
                        return Err(error);
                    }
                }
            }
        }
        // A snapshot shows nothing of what is still on its way to the disk.
        writer.in_flight.drained().await;
        // In a place of its own: the question may have to be asked twice.
        let kept = Arc::new(Mutex::new(writer.known.take()));
        let place = Arc::clone(&kept);
        let (context, room, decide) =
            (self.context().clone(), Arc::clone(room), Arc::clone(decide));
        let drafting = self.context().store.read(move |snapshot| {
            let known = match place.lock().take() {
                Some(known) => known,
                None => {
                    Known { head: store::rooms::head(snapshot, room.number)?, ..Known::default() }
                }
            };
            let rows = RoomRows { snapshot, room: room.number, salt: context.state_salt };
            let mut draft = Draft::new(&context, &room, known, Some(rows));
            draft.is_repeated = is_repeated;
            match decide(&mut draft) {
                Ok(value) => Ok((value, draft.drafted)),
                Err(error) => {
                    *place.lock() = Some(draft.drafted.abandon());
                    Err(error)
                }
            }
        });
        let drafted = drafting.await;
        if drafted.is_err() {
            writer.known = kept.lock().take();
        }
        drafted
    }

    fn submit(
        &self,
        writer: &mut Writer,
        drafted: Drafted,
    ) -> Option<impl Future<Output = Result<u64, CommitError>> + use<>> {
        let (mut known, written) = drafted.finish();
        if known.state.len() > STATE_KEPT_MAX {
            known.state.clear();
            known.servers.clear();
        }
        writer.known = Some(known);
        let (batch, entry) = written?;
        writer.submitted += 1;
        let in_flight = Arc::clone(&writer.in_flight);
        in_flight.count.fetch_add(1, Ordering::AcqRel);
        let guard = Landing { in_flight, succeeded: false };
        let commit = self.context().log.submit(batch, entry);
        Some(async move {
            let mut guard = guard;
            let result = commit.await;
            guard.succeeded = result.is_ok();
            result
        })
    }
}

impl Rooms {
    /// Runs a question over a snapshot that shows all that was submitted to the room.
    pub(super) async fn settled<T: Send + 'static>(
        &self,
        room: &Room,
        question: impl FnOnce(RoomRows<'_>) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<(Submitted, T), StoreError> {
        let submitted = {
            let writer = room.writer.lock().await;
            writer.in_flight.drained().await;
            Submitted(writer.submitted)
        };
        Ok((submitted, self.read(room.number, question).await?))
    }

    /// Commits rows beside the room's events, unless the room was written since: then false.
    pub(super) async fn commit_settled(
        &self,
        room: &Room,
        Submitted(submitted): Submitted,
        (batch, entry): (Batch, Vec<Change>),
    ) -> Result<bool, CommitError> {
        let writer = room.writer.lock().await;
        if writer.submitted != submitted {
            return Ok(false);
        }
        self.context().log.commit(batch, entry).await?;
        Ok(true)
    }
}

impl InFlight {
    /// Waits until no commit is under way.
    async fn drained(&self) {
        loop {
            let landed = self.landed.notified();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            landed.await;
        }
    }
}

/// Says when a commit has ended, also when nobody waits for it any more.
struct Landing {
    in_flight: Arc<InFlight>,
    succeeded: bool,
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.succeeded {
            self.in_flight.failed.store(true, Ordering::Release);
        }
        self.in_flight.count.fetch_sub(1, Ordering::AcqRel);
        self.in_flight.landed.notify_waiters();
    }
}

//! Taking in the events that other servers sent: one worker per room with something waiting, so
//! that a room whose events are hard to judge holds up no other.
//!
//! What waits is durable and was acknowledged. An event that is bad is dropped; one that cannot be
//! judged because another server does not answer is dropped, too, after a second try: whatever
//! follows it in the room will ask for it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use model::RoomNumber;
use parking_lot::Mutex;
use ruma::{RoomId, ServerName};
use services::{
    Context,
    rooms::{Rooms, WriteError, receive::ReceiveError},
    staged::{self, Staged, StagedError},
};
use tokio::sync::Semaphore;

use crate::rooms::RemoteServers;

/// Rooms that take in events at once.
const ROOMS_AT_ONCE: usize = 16;
/// Events of a room that are read at once.
const PAGE_EVENTS: usize = 50;
/// How long a room waits when the store does not take its events.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// See the module.
pub struct Intake {
    context: Context,
    rooms: Rooms,
    remote: Arc<RemoteServers>,
    /// Rooms with a worker, and whether something came since it looked last.
    working: Mutex<HashMap<RoomNumber, bool>>,
    turns: Semaphore,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was taken in, or never will be.
    Decided,
    /// Another server was needed and did not help.
    Unhelped,
    /// The store did not take it.
    NotNow,
}

impl Intake {
    pub(crate) fn new(context: Context, rooms: Rooms, remote: Arc<RemoteServers>) -> Arc<Self> {
        let turns = Semaphore::new(ROOMS_AT_ONCE);
        Arc::new(Self { context, rooms, remote, working: Mutex::default(), turns })
    }

    /// Starts the workers of the rooms for which something waits from before.
    pub async fn resume(self: &Arc<Self>) -> Result<(), StagedError> {
        let rooms = staged::rooms(&self.context).await?;
        self.wake(rooms);
        Ok(())
    }

    /// Something waits for these rooms.
    pub(crate) fn wake(self: &Arc<Self>, rooms: Vec<RoomNumber>) {
        for room in rooms {
            if self.working.lock().insert(room, true).is_none() {
                let intake = Arc::clone(self);
                tokio::spawn(async move { intake.work(room).await });
            }
        }
    }

    /// Whether everything that came was decided.
    pub fn is_idle(&self) -> bool {
        self.working.lock().is_empty()
    }

    /// A room's worker: ends when nothing waits.
    async fn work(&self, room: RoomNumber) {
        while self.has_news(room) {
            loop {
                // They are never closed.
                let Ok(_turn) = self.turns.acquire().await else { return };
                match self.take_page(room).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::error!(%error, "events that wait cannot be taken in");
                        drop(_turn);
                        tokio::time::sleep(STORE_PAUSE).await;
                    }
                }
            }
        }
    }

    /// Whether something came since this was asked last; if not, the worker has ended.
    fn has_news(&self, room: RoomNumber) -> bool {
        let mut working = self.working.lock();
        let news = working.get_mut(&room).is_some_and(std::mem::take);
        if !news {
            working.remove(&room);
        }
        news
    }

    /// Takes in some of what waits; says whether there may be more.
    async fn take_page(&self, room: RoomNumber) -> Result<bool, TakeError> {
        let page = staged::of_room(&self.context, room, PAGE_EVENTS).await?;
        let more = page.len() == PAGE_EVENTS;
        let mut done = Vec::with_capacity(page.len());
        let mut unhelped = Vec::new();
        for (key, staged) in page {
            match self.take(&staged).await {
                Fate::Decided => {}
                Fate::Unhelped => unhelped.push(staged),
                Fate::NotNow => {
                    self.forget(done).await?;
                    return Err(TakeError::NotNow);
                }
            }
            done.push(key);
        }
        for staged in unhelped {
            if self.take(&staged).await == Fate::NotNow {
                return Err(TakeError::NotNow);
            }
        }
        self.forget(done).await?;
        Ok(more)
    }

    async fn forget(&self, done: Vec<staged::StagedKey>) -> Result<(), StagedError> {
        if done.is_empty() {
            return Ok(());
        }
        staged::done(&self.context, done).await
    }

    async fn take(&self, staged: &Staged) -> Fate {
        let (Ok(room_id), Ok(origin)) =
            (RoomId::parse(&staged.room_id), ServerName::parse(&staged.origin))
        else {
            return Fate::Decided;
        };
        let room = match self.rooms.find(&room_id).await {
            Ok(Some(room)) => room,
            Ok(None) => return Fate::Decided,
            Err(error) => return fate_of(&error.into()),
        };
        let Ok(event) = self.remote.verify_event(staged.json.as_bytes(), room.version).await else {
            return Fate::Decided;
        };
        if event.room_id != room.id {
            return Fate::Decided;
        }
        let event_id = event.event_id.clone();
        match self.rooms.receive(&room, &origin, event).await {
            Ok(received) => {
                tracing::debug!(%event_id, %origin, ?received, "event");
                Fate::Decided
            }
            Err(error) => {
                tracing::info!(%event_id, %origin, %error, "event not taken in");
                fate_of(&error)
            }
        }
    }
}

/// Why a room's worker pauses.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error("the store does not take an event")]
    NotNow,
    #[error(transparent)]
    Staged(#[from] StagedError),
}

fn fate_of(error: &ReceiveError) -> Fate {
    match error {
        ReceiveError::Remote(_) | ReceiveError::Incomplete => Fate::Unhelped,
        ReceiveError::Write(error) => match error {
            WriteError::Commit(_) | WriteError::Store(_) | WriteError::Contended => Fate::NotNow,
            WriteError::MissingAuthEvent => Fate::Unhelped,
            WriteError::UnknownRoom
            | WriteError::UnsupportedVersion(_)
            | WriteError::Forbidden(_)
            | WriteError::NotJoined
            | WriteError::StillInRoom
            | WriteError::CannotAuthorise
            | WriteError::Refused(_)
            | WriteError::BadContent(_)
            | WriteError::Build(_)
            | WriteError::Unresolvable(_)
            | WriteError::NeedsRows => Fate::Decided,
        },
    }
}

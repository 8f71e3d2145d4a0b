//! Taking in the events that other servers sent: one worker per room with something waiting, so
//! that a room whose events are hard to judge holds up no other.
//!
//! What waits is durable and was acknowledged. An event that is bad is dropped. One that cannot be
//! judged because another server does not answer stays where it is and is tried again, after a
//! pause that grows, while the room goes on with the others; it is dropped only after hours, when
//! nothing but what follows it in the room can bring it back. So is, for some minutes, one that
//! follows what nobody shows: that may be on its way.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use model::RoomNumber;
use parking_lot::Mutex;
use ruma::{RoomId, ServerName};
use services::{
    Context,
    rooms::{
        Rooms, WriteError,
        receive::{Patience, ReceiveError},
        remote::RemoteError,
    },
    staged::{self, Staged, StagedError, StagedKey},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use crate::rooms::RemoteServers;

/// Rooms that take in events at once.
const ROOMS_AT_ONCE: usize = 16;
/// Events of a room that are read at once.
const PAGE_EVENTS: usize = 50;
/// How long a room waits when the store does not take its events.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// The pause after the first attempt at an event; doubled with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10 * 60);
/// Attempts that insist on everything that an event stands on: a quarter of an hour. After that,
/// what is still missing is taken for lost: the server that could give it may be gone for good.
const STRICT_ATTEMPTS: u32 = 10;
/// Attempts at an event: some three hours.
const ATTEMPTS_MAX: u32 = 24;
/// Events of a room that may wait for other servers; what comes on top is tried once.
const WAITING_MAX: usize = 500;

/// See the module.
pub struct Intake {
    context: Context,
    rooms: Rooms,
    remote: Arc<RemoteServers>,
    /// Rooms with a worker.
    working: Mutex<HashMap<RoomNumber, Calls>>,
    turns: Semaphore,
}

/// How a room's worker is told that something came.
#[derive(Default)]
struct Calls {
    news: bool,
    bell: Arc<Notify>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was taken in, or never will be.
    Decided,
    /// Another server was needed and did not help.
    Unhelped,
    /// Nobody who was asked has what it follows: not yet, or never.
    Withheld,
    /// The store did not take it.
    NotNow,
}

/// An event that waits for other servers.
struct Waiting {
    staged: Staged,
    attempts: u32,
    next: Instant,
}

/// What a room's worker remembers.
#[derive(Default)]
struct Progress {
    /// Everything up to here was tried at least once.
    tried: Option<StagedKey>,
    waiting: BTreeMap<StagedKey, Waiting>,
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
            let mut working = self.working.lock();
            let is_new = !working.contains_key(&room);
            let calls = working.entry(room).or_default();
            calls.news = true;
            calls.bell.notify_one();
            if is_new {
                let (intake, bell) = (Arc::clone(self), Arc::clone(&calls.bell));
                tokio::spawn(async move { intake.work(room, &bell).await });
            }
        }
    }

    /// Whether everything that came was decided.
    pub fn is_idle(&self) -> bool {
        self.working.lock().is_empty()
    }

    /// A room's worker: ends when nothing waits.
    async fn work(&self, room: RoomNumber, bell: &Notify) {
        let mut progress = Progress::default();
        while self.goes_on(room, &progress) {
            // They are never closed.
            let Ok(turn) = self.turns.acquire().await else { return };
            let worked = self.take_in(room, &mut progress).await;
            drop(turn);
            match worked {
                Ok(()) => progress.pause(bell).await,
                Err(error) => {
                    tracing::error!(%error, "events that wait cannot be taken in");
                    self.expect_news(room);
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Whether something came, or waits; if not, the worker has ended.
    fn goes_on(&self, room: RoomNumber, progress: &Progress) -> bool {
        let mut working = self.working.lock();
        let news = working.get_mut(&room).is_some_and(|calls| std::mem::take(&mut calls.news));
        if !news && progress.waiting.is_empty() {
            working.remove(&room);
            return false;
        }
        true
    }

    fn expect_news(&self, room: RoomNumber) {
        self.working.lock().entry(room).or_default().news = true;
    }

    /// Takes in what came, and tries again what is due.
    async fn take_in(&self, room: RoomNumber, progress: &mut Progress) -> Result<(), TakeError> {
        while self.take_page(room, progress).await? {}
        for key in progress.due() {
            let Some(mut waiting) = progress.waiting.remove(&key) else { continue };
            let patience = match waiting.attempts < STRICT_ATTEMPTS {
                true => Patience::Strict,
                false => Patience::AtLast,
            };
            let over = match self.take(&waiting.staged, patience).await {
                Fate::Decided => self.forget(vec![key.clone()]).await.map_err(TakeError::from),
                Fate::NotNow => Err(TakeError::NotNow),
                Fate::Unhelped if waiting.attempts == ATTEMPTS_MAX => {
                    self.forget(vec![key.clone()]).await.map_err(TakeError::from)
                }
                Fate::Withheld if waiting.attempts >= STRICT_ATTEMPTS => {
                    self.forget(vec![key.clone()]).await.map_err(TakeError::from)
                }
                Fate::Unhelped | Fate::Withheld => {
                    waiting.postpone();
                    progress.waiting.insert(key, waiting);
                    continue;
                }
            };
            if over.is_err() {
                progress.waiting.insert(key, waiting);
                return over;
            }
        }
        Ok(())
    }

    /// Takes in some of what came; says whether there may be more.
    async fn take_page(
        &self,
        room: RoomNumber,
        progress: &mut Progress,
    ) -> Result<bool, TakeError> {
        let page = staged::of_room(&self.context, room, progress.tried.clone(), PAGE_EVENTS);
        let page = page.await?;
        let more = page.len() == PAGE_EVENTS;
        let last = page.last().map(|(key, _)| key.clone());
        let mut done = Vec::with_capacity(page.len());
        for (key, staged) in page {
            let is_full = progress.waiting.len() >= WAITING_MAX;
            let patience = if is_full { Patience::AtLast } else { Patience::Strict };
            match self.take(&staged, patience).await {
                Fate::Unhelped | Fate::Withheld if !is_full => {
                    progress.waiting.insert(key, Waiting::new(staged));
                }
                Fate::Decided | Fate::Unhelped | Fate::Withheld => done.push(key),
                Fate::NotNow => {
                    self.forget(done).await?;
                    return Err(TakeError::NotNow);
                }
            }
        }
        self.forget(done).await?;
        // Only now: what failed before this line is looked at again.
        progress.tried = last.or(progress.tried.take());
        Ok(more)
    }

    async fn forget(&self, done: Vec<StagedKey>) -> Result<(), StagedError> {
        if done.is_empty() {
            return Ok(());
        }
        staged::done(&self.context, done).await
    }

    async fn take(&self, staged: &Staged, patience: Patience) -> Fate {
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
        let event = match self.remote.verify_event(staged.json.as_bytes(), room.version).await {
            Ok(event) => event,
            Err(RemoteError::NoKeys) => return Fate::Unhelped,
            Err(_) => return Fate::Decided,
        };
        if event.room_id != room.id {
            return Fate::Decided;
        }
        let event_id = event.event_id.clone();
        match self.rooms.receive(&room, &origin, event, patience).await {
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

impl Waiting {
    fn new(staged: Staged) -> Self {
        let mut waiting = Self { staged, attempts: 0, next: Instant::now() };
        waiting.postpone();
        waiting
    }

    /// Counts an attempt, and waits longer than after the last one.
    fn postpone(&mut self) {
        let pause = PAUSE_MIN.saturating_mul(1 << self.attempts.min(16)).min(PAUSE_MAX);
        self.next = Instant::now() + pause;
        self.attempts += 1;
    }
}

impl Progress {
    fn due(&self) -> Vec<StagedKey> {
        let now = Instant::now();
        let due = self.waiting.iter().filter(|(_, waiting)| waiting.next <= now);
        due.map(|(key, _)| key.clone()).collect()
    }

    /// Waits until something came, or the next event is due.
    async fn pause(&self, bell: &Notify) {
        if let Some(next) = self.waiting.values().map(|waiting| waiting.next).min() {
            // Whichever it was will be seen.
            let _rung = tokio::time::timeout_at(next, bell.notified()).await;
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
        ReceiveError::Withheld => Fate::Withheld,
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

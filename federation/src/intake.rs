//! Taking in the events that other servers sent.
//!
//! What stands on nothing that is missing here is taken in while its server waits for the answer.
//! Everything else waits: it is durable and was acknowledged, and is worked off by one worker per
//! room with something waiting. Those take in what they can by themselves, many events in one
//! commit; for each of the others they go on an *errand*, and ask other servers. Of errands each
//! server causes only so many at once, and beside one its room goes on with what came after it, so
//! that a server that answers slowly holds up neither other rooms nor what others say in its own.
//!
//! An event that is bad is dropped. One that cannot be judged because another server does not
//! answer stays where it is and is tried again, after a pause that grows, while the room goes on with
//! the others; it is dropped only after hours, when nothing but what follows it in the room can bring
//! it back. So is, for some minutes, one that follows what nobody shows: that may be on its way.

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{Either, select};
use model::RoomNumber;
use parking_lot::Mutex;
use ruma::{OwnedEventId, RoomId, ServerName, TransactionId};
use serde_json::json;
use services::{
    Context,
    rooms::{
        Room, Rooms, WriteError,
        receive::{
            Patience, ReceiveError,
            present::{Answered, Checked, Newcomer, Taken, Waiting as Row},
        },
        remote::RemoteError,
    },
    staged::{self, Staged, StagedError, StagedKey},
};
use tokio::sync::{Notify, Semaphore};

use crate::{limits::Limits, rooms::RemoteServers};
use waiting::{Fate, Progress, Waiting};

mod waiting;

/// Rooms that take in at once what needs nobody else.
const ROOMS_AT_ONCE: usize = 16;
/// Errands that go on at once, and those of them for events that one server sent.
const ERRANDS_AT_ONCE: usize = 32;
const ERRANDS_OF_ONE_SERVER: usize = 4;
/// Events of a room that are read at once.
const PAGE_EVENTS: usize = 50;
/// How long a room waits when the store does not take its events.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// See the module.
pub struct Intake {
    context: Context,
    rooms: Rooms,
    remote: Arc<RemoteServers>,
    /// Rooms with a worker.
    working: Mutex<HashMap<RoomNumber, Calls>>,
    turns: Semaphore,
    errands: Semaphore,
    errands_of: Limits,
}

/// How a room's worker is told that something came.
#[derive(Default)]
struct Calls {
    news: bool,
    bell: Arc<Notify>,
}

impl Intake {
    pub(crate) fn new(context: Context, rooms: Rooms, remote: Arc<RemoteServers>) -> Arc<Self> {
        Arc::new(Self {
            context,
            rooms,
            remote,
            working: Mutex::default(),
            turns: Semaphore::new(ROOMS_AT_ONCE),
            errands: Semaphore::new(ERRANDS_AT_ONCE),
            errands_of: Limits::new(ERRANDS_OF_ONE_SERVER),
        })
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

    /// Takes in the events of a transaction, which are of one room, and gives its answer. What needs
    /// others waits from then on. `None` when all of them have to wait, and nothing was kept: when
    /// events of the room wait already, there is no turn, or the room does not let their server in.
    pub(crate) async fn take_at_once(
        self: &Arc<Self>,
        room: &Arc<Room>,
        origin: &ServerName,
        id: &TransactionId,
        rows: Vec<Staged>,
    ) -> Option<Bytes> {
        if self.working.lock().contains_key(&room.number) {
            return None;
        }
        let _turn = self.turns.try_acquire().ok()?;
        let (mut results, mut newcomers) = (BTreeMap::<OwnedEventId, _>::new(), Vec::new());
        for read in self.remote.read_at_hand(room, rows).await {
            // Without a valid format it has no id to answer for.
            let Some(event_id) = read.event_id else { continue };
            results.insert(event_id, json!({}));
            newcomers.push(Newcomer { checked: read.checked, waiting: Row::IfItMust(read.row) });
        }
        let answer = Bytes::from(json!({ "pdus": results }).to_string());
        let transaction = staged::transaction(origin, id);
        let answered = Answered { transaction, answer: answer.clone() };
        match self.rooms.receive_transaction(room, origin, newcomers, answered).await {
            Ok(taken) => {
                if taken.leaves_any() {
                    self.wake(vec![room.number]);
                }
                match taken {
                    Taken::Decided(_) => Some(answer),
                    Taken::Before(answer) => Some(answer),
                    Taken::Closed => None,
                }
            }
            Err(error) => {
                tracing::info!(%origin, %error, "events cannot be taken in at once");
                None
            }
        }
    }

    /// A room's worker: ends when nothing waits.
    async fn work(&self, room: RoomNumber, bell: &Notify) {
        let mut progress = Progress::default();
        while self.goes_on(room, &progress) {
            match self.take_in(room, bell, &mut progress).await {
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

    /// Takes in what came, and goes on the errands that are due.
    async fn take_in(
        &self,
        room: RoomNumber,
        bell: &Notify,
        progress: &mut Progress,
    ) -> Result<(), TakeError> {
        self.take_pages(room, progress).await?;
        for key in progress.due() {
            let Some(mut waiting) = progress.waiting.remove(&key) else { continue };
            let fate = self.go(room, bell, progress, (&key, &waiting)).await;
            let over = match fate {
                Ok(Fate::NotNow) => Err(TakeError::NotNow),
                Ok(fate) if waiting.is_over(fate) => {
                    self.forget(vec![key.clone()]).await.map(|()| fate)
                }
                Ok(_) => {
                    waiting.postpone();
                    progress.waiting.insert(key, waiting);
                    continue;
                }
                Err(error) => Err(error),
            };
            match over {
                // It may have brought what the next ones stand on.
                Ok(Fate::Taken) => self.take_waiting(progress).await?,
                Ok(_) => {}
                Err(error) => {
                    progress.waiting.insert(key, waiting);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Goes on an errand, and takes in beside it what comes for the room. If that is what was to be
    /// fetched, the errand ends.
    async fn go(
        &self,
        room: RoomNumber,
        bell: &Notify,
        progress: &mut Progress,
        (key, waiting): (&StagedKey, &Waiting),
    ) -> Result<Fate, TakeError> {
        let mut errand = pin!(self.run_errand(&waiting.staged, waiting.patience()));
        loop {
            if let Either::Left((fate, _)) = select(errand.as_mut(), pin!(bell.notified())).await {
                return Ok(fate);
            }
            let beside = pin!(async {
                if !self.take_pages(room, progress).await? {
                    return Ok::<_, TakeError>(false);
                }
                let page = self.take_here(vec![(key.clone(), waiting.staged.clone())]).await?;
                Ok(page.left.is_empty())
            });
            // Both go on: the errand may hold what the other needs.
            match select(errand.as_mut(), beside).await {
                Either::Left((fate, beside)) => {
                    beside.await?;
                    return Ok(fate);
                }
                Either::Right((is_taken, _)) => {
                    if is_taken? {
                        return Ok(Fate::Taken);
                    }
                }
            }
        }
    }

    /// Takes in everything that came and was not looked at yet; says whether anything was taken in.
    async fn take_pages(
        &self,
        room: RoomNumber,
        progress: &mut Progress,
    ) -> Result<bool, TakeError> {
        let mut takes_any = false;
        loop {
            let page = staged::of_room(&self.context, room, progress.tried.clone(), PAGE_EVENTS);
            let page = page.await?;
            let Some(last) = page.last().map(|(key, _)| key.clone()) else { return Ok(takes_any) };
            let page = self.take_here(page).await?;
            takes_any |= page.takes_any;
            for (key, staged) in page.left {
                if !progress.is_full() {
                    progress.waiting.insert(key, Waiting::new(staged));
                    continue;
                }
                match self.run_errand(&staged, Patience::AtLast).await {
                    Fate::NotNow => return Err(TakeError::NotNow),
                    _ => self.forget(vec![key]).await?,
                }
            }
            // Only now: what failed before this line is looked at again.
            progress.tried = Some(last);
        }
    }

    /// Takes in what can be taken in by now of what waits for others.
    async fn take_waiting(&self, progress: &mut Progress) -> Result<(), TakeError> {
        let some = progress.waiting.iter().take(PAGE_EVENTS);
        let some: Vec<_> =
            some.map(|(key, waiting)| (key.clone(), waiting.staged.clone())).collect();
        let tried: Vec<_> = some.iter().map(|(key, _)| key.clone()).collect();
        let left = self.take_here(some).await?.left;
        for key in tried {
            if left.iter().all(|(waits, _)| *waits != key) {
                progress.waiting.remove(&key);
            }
        }
        Ok(())
    }

    /// Takes in those of these events of one room that stand on nothing that is missing.
    async fn take_here(&self, rows: Vec<(StagedKey, Staged)>) -> Result<Page, TakeError> {
        let Some((_, first)) = rows.first() else { return Ok(Page::default()) };
        let found = match RoomId::parse(&first.room_id) {
            Ok(room_id) => self.rooms.find(&room_id).await,
            Err(_) => Ok(None),
        };
        let room = match found {
            Ok(Some(room)) => room,
            Ok(None) => {
                self.forget(rows.into_iter().map(|(key, _)| key).collect()).await?;
                return Ok(Page::default());
            }
            Err(error) if fate_of(&error) == Fate::NotNow => return Err(TakeError::NotNow),
            Err(_) => return Ok(Page { left: rows, takes_any: false }),
        };
        // They are never closed.
        let _turn = self.turns.acquire().await;
        let (keys, rows): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let read = self.remote.read_at_hand(&room, rows).await;
        let newcomers = read.iter().zip(&keys).map(|(read, key)| Newcomer {
            checked: read.checked.clone(),
            waiting: Row::Already(key.clone()),
        });
        let decided = match self.rooms.receive_waiting(&room, newcomers.collect()).await {
            Ok(decided) => decided,
            Err(error) if fate_of(&error) == Fate::NotNow => return Err(TakeError::NotNow),
            // One of them cannot be judged: which, is seen when each is judged alone.
            Err(_) => vec![false; keys.len()],
        };
        let mut page = Page::default();
        for ((key, read), is_decided) in keys.into_iter().zip(read).zip(decided) {
            match is_decided {
                true => page.takes_any |= matches!(read.checked, Checked::Authentic(_)),
                false => page.left.push((key, read.row)),
            }
        }
        Ok(page)
    }

    async fn forget(&self, done: Vec<StagedKey>) -> Result<(), TakeError> {
        Ok(staged::done(&self.context, done).await?)
    }

    /// Takes in an event for which other servers may have to be asked.
    async fn run_errand(&self, staged: &Staged, patience: Patience) -> Fate {
        let (Ok(room_id), Ok(origin)) =
            (RoomId::parse(&staged.room_id), ServerName::parse(&staged.origin))
        else {
            return Fate::Dropped;
        };
        // In this order: who waits for the errands of his server takes nothing from the others.
        let _of_server = self.errands_of.permit(&origin).await;
        let _of_all = self.errands.acquire().await;
        let room = match self.rooms.find(&room_id).await {
            Ok(Some(room)) => room,
            Ok(None) => return Fate::Dropped,
            Err(error) => return fate_of(&error),
        };
        let event = match self.remote.verify_event(staged.json.as_bytes(), room.version).await {
            Ok(event) => event,
            Err(RemoteError::NoKeys) => return Fate::Unhelped,
            Err(_) => return Fate::Dropped,
        };
        if event.room_id != room.id {
            return Fate::Dropped;
        }
        let event_id = event.event_id.clone();
        match self.rooms.receive(&room, &origin, event, patience).await {
            Ok(received) => {
                tracing::debug!(%event_id, %origin, ?received, "event");
                Fate::Taken
            }
            Err(error) => {
                tracing::info!(%event_id, %origin, %error, "event not taken in");
                match &error {
                    ReceiveError::Remote(_) | ReceiveError::Incomplete => Fate::Unhelped,
                    ReceiveError::Withheld => Fate::Withheld,
                    ReceiveError::Write(error) => fate_of(error),
                }
            }
        }
    }
}

/// What became of events that wait for one room.
#[derive(Default)]
struct Page {
    /// Those for which others have to be asked.
    left: Vec<(StagedKey, Staged)>,
    /// Some of the others were taken in, not dropped.
    takes_any: bool,
}

/// Why a room's worker pauses.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error("the store does not take an event")]
    NotNow,
    #[error(transparent)]
    Staged(#[from] StagedError),
}

fn fate_of(error: &WriteError) -> Fate {
    match error {
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
        | WriteError::NeedsRows => Fate::Dropped,
    }
}

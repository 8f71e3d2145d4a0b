//! Rooms: who may write what, and the one writer that each room has.
//!
//! Invariant: a room's events are decided one after the other, each on the state that the one
//! before it left; batches are queued in that order, and every one of them requires the head that
//! it started from, so nothing is ever built on a commit that failed.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use kv::{CommitError, StoreError};
use lru::LruCache;
use model::{
    RoomNumber,
    build::BuildError,
    event_auth::AuthError,
    room_version::{RoomVersion, UnsupportedRoomVersion},
    state_res::ResolveError,
};
use parking_lot::Mutex;
use ruma::{OwnedRoomId, RoomId};

use self::remote::{RemoteError, RemoteRooms};
use crate::{Context, room_rows::RoomRows};

mod backfill;
pub mod collect;
pub mod create;
pub mod directory;
mod draft;
mod entrances;
mod gap;
pub mod invite;
pub mod join;
pub mod membership;
pub mod public;
pub mod receive;
pub mod remote;
mod retract;
pub mod send;
pub mod serve;
pub mod spaces;
pub mod upgrade;
pub mod visitors;
mod writer;

pub(crate) use draft::{Arrival, Draft};
pub use writer::Written;

/// The rooms of one homeserver. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {
    inner: Arc<Inner>,
}

struct Inner {
    context: Context,
    /// Rooms that were used lately. A room is only ever in here once, so its writer is the only one.
    open: Mutex<LruCache<OwnedRoomId, Arc<Room>>>,
    /// The number that the next new room takes.
    next_room: OnceLock<AtomicU64>,
    /// How other servers are asked; set once, when the process is wired.
    remote: OnceLock<Arc<dyn RemoteRooms>>,
    /// Who comes in, or goes, through other servers.
    entrances: entrances::Entrances,
    /// What other servers told of rooms that we are not in.
    levels: spaces::Levels,
}

/// One room, while it is in use.
pub struct Room {
    pub number: RoomNumber,
    pub id: OwnedRoomId,
    pub version: RoomVersion,
    pub(crate) writer: tokio::sync::Mutex<writer::Writer>,
}

/// Why something could not be written to a room.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("this homeserver does not know the room")]
    UnknownRoom,
    #[error("the room's version is not supported: {0}")]
    UnsupportedVersion(#[from] UnsupportedRoomVersion),
    #[error("the room's rules do not allow it: {0}")]
    Forbidden(#[from] AuthError),
    #[error("the user is not joined to the room")]
    NotJoined,
    #[error("the user has not left the room")]
    StillInRoom,
    /// No local user may vouch for the restricted join: another server has to.
    #[error("no user of this server may authorise the join")]
    CannotAuthorise,
    /// An event names auth events that were not fetched before.
    #[error("an auth event is not known")]
    MissingAuthEvent,
    /// The event says what no event of its kind may say.
    #[error("{0}")]
    BadContent(&'static str),
    /// The caller's own rule, in its words.
    #[error("{0}")]
    Refused(&'static str),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("the room changed too often meanwhile")]
    Contended,
    /// The draft needs rows that are not in memory; never leaves this module.
    #[error("rows must be read")]
    NeedsRows,
    /// The room's states differ in more than this homeserver is willing to look at, or in what no
    /// resolution is defined for.
    #[error("the room's state cannot be resolved: {0}")]
    Unresolvable(String),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ResolveError<WriteError>> for WriteError {
    fn from(error: ResolveError<WriteError>) -> Self {
        match error {
            ResolveError::Source(error) => error,
            error @ (ResolveError::TooLarge | ResolveError::Unresolvable(_)) => {
                Self::Unresolvable(error.to_string())
            }
        }
    }
}

/// Rooms kept open. A room that is not in use costs nothing but its rows.
const OPEN_ROOMS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");

impl Rooms {
    pub fn new(context: Context) -> Self {
        let open = Mutex::new(LruCache::unbounded());
        Self {
            inner: Arc::new(Inner {
                context,
                open,
                next_room: OnceLock::new(),
                remote: OnceLock::new(),
                entrances: entrances::Entrances::default(),
                levels: spaces::Levels::default(),
            }),
        }
    }

    pub fn context(&self) -> &Context {
        &self.inner.context
    }

    /// The room, if this homeserver knows it.
    pub async fn find(&self, room_id: &RoomId) -> Result<Option<Arc<Room>>, WriteError> {
        if let Some(room) = self.inner.open.lock().get(room_id) {
            return Ok(Some(Arc::clone(room)));
        }
        let id = room_id.to_owned();
        let found = self.inner.context.store.read(move |rows| {
            let Some(number) = store::rooms::number(rows, &id)? else { return Ok(None) };
            let head = store::rooms::head(rows, number)?;
            Ok::<_, StoreError>(head.map(|head| (number, head)))
        });
        let Some((number, head)) = found.await? else { return Ok(None) };
        let version: RoomVersion = head.room_version.parse()?;
        let room = Room::new(number, room_id.to_owned(), version);
        Ok(Some(self.opened(room)))
    }

    /// The room, which must be known.
    pub async fn get(&self, room_id: &RoomId) -> Result<Arc<Room>, WriteError> {
        self.find(room_id).await?.ok_or(WriteError::UnknownRoom)
    }

    /// Plugs in the way to other servers.
    pub fn connect(&self, remote: Arc<dyn RemoteRooms>) {
        let _only_once = self.inner.remote.set(remote);
    }

    fn remote(&self) -> Result<&Arc<dyn RemoteRooms>, RemoteError> {
        self.inner.remote.get().ok_or(RemoteError::Unreachable)
    }

    /// Runs a question over one snapshot of the room's rows.
    pub async fn read<T: Send + 'static>(
        &self,
        room: RoomNumber,
        question: impl FnOnce(RoomRows<'_>) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        let salt = self.inner.context.state_salt;
        let store = &self.inner.context.store;
        store.read(move |snapshot| question(RoomRows { snapshot, room, salt })).await
    }

    /// A number for a new room. Numbers of rooms that never came to be are not used again before a
    /// restart.
    async fn new_number(&self) -> Result<RoomNumber, StoreError> {
        if self.inner.next_room.get().is_none() {
            let next = self.inner.context.store.read(store::homeserver::next_room).await?;
            let _already = self.inner.next_room.set(AtomicU64::new(next));
        }
        let next = self.inner.next_room.get_or_init(|| AtomicU64::new(1));
        Ok(RoomNumber(next.fetch_add(1, Ordering::Relaxed)))
    }

    /// Takes a room that never came to be out of use.
    fn forget_opened(&self, room_id: &RoomId) {
        self.inner.open.lock().pop(room_id);
    }

    /// Makes the room the one that everybody uses, unless another one already is.
    fn opened(&self, room: Room) -> Arc<Room> {
        let mut open = self.inner.open.lock();
        if let Some(room) = open.get(&room.id) {
            return Arc::clone(room);
        }
        let room = Arc::new(room);
        open.put(room.id.clone(), Arc::clone(&room));
        // Only rooms that nobody uses may go: a second writer of a room would be a second truth.
        let mut checked = 0;
        while open.len() > OPEN_ROOMS_MAX.get() && checked < open.len() {
            let Some((id, oldest)) = open.pop_lru() else { break };
            if Arc::strong_count(&oldest) > 1 {
                open.put(id, oldest);
            }
            checked += 1;
        }
        room
    }
}

impl Room {
    fn new(number: RoomNumber, id: OwnedRoomId, version: RoomVersion) -> Self {
        Self { number, id, version, writer: tokio::sync::Mutex::default() }
    }
}

#[cfg(test)]
mod tests;

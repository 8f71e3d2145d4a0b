//! Read markers: a user's own bookmark in a room (`m.fully_read`), often set together with receipts.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers>

use kv::{Batch, CommitError, Snapshot, StoreError};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};
use store::{
    account_data::{self, Item},
    log::Change,
    receipts::Owner,
};

use crate::{
    Context,
    receipts::{self, Kind, ReceiptError, Thread},
};

#[cfg(test)]
mod tests;

/// The type of account data that holds the marker of a room.
pub const KIND: &str = "m.fully_read";
/// How often markers are decided again because the same user moved them at the same moment.
const ATTEMPTS_MAX: usize = 3;

/// Where a user's markers in a room are to stand; those that are `None` stay.
#[derive(Clone, Debug, Default)]
pub struct Markers {
    pub fully_read: Option<OwnedEventId>,
    pub read: Option<OwnedEventId>,
    pub read_private: Option<OwnedEventId>,
}

/// One homeserver's read markers. Cheap to clone.
#[derive(Clone)]
pub struct ReadMarkers(Context);

impl ReadMarkers {
    pub fn new(context: Context) -> Self {
        Self(context)
    }

    /// Moves a local user's markers, all of them or none; never back.
    pub async fn set(
        &self,
        user: &UserId,
        room_id: &RoomId,
        markers: Markers,
    ) -> Result<(), ReceiptError> {
        let mut attempt = 1;
        loop {
            let (context, markers) = (self.0.clone(), markers.clone());
            let (user, room_id) = (user.to_owned(), room_id.to_owned());
            let decide = move |rows: &Snapshot| decide(rows, &context, (user, room_id), markers);
            let (batch, changes) = self.0.store.read(decide).await?;
            if changes.is_empty() {
                return Ok(());
            }
            match self.0.log.commit(batch, changes).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Precondition(_)) if attempt < ATTEMPTS_MAX => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Content {
    event_id: OwnedEventId,
}

fn decide(
    snapshot: &Snapshot,
    context: &Context,
    (user, room_id): (OwnedUserId, OwnedRoomId),
    markers: Markers,
) -> Result<(Batch, Vec<Change>), ReceiptError> {
    let mut batch = context.batch();
    let mut changes = Vec::new();
    let now_ms = context.clock.now_ms();
    let receipts = [(Kind::Public, markers.read), (Kind::Private, markers.read_private)];
    for (kind, event_id) in receipts {
        let Some(event_id) = event_id else { continue };
        let owner = Owner { user: user.clone(), kind, thread: Thread::Unthreaded };
        let wanted = (owner, event_id, now_ms);
        changes.extend(receipts::decide(snapshot, context, &room_id, wanted, &mut batch)?);
    }
    if let Some(event_id) = markers.fully_read {
        let wanted = (&*user, &*room_id, event_id);
        changes.extend(decide_fully_read(snapshot, wanted, &mut batch)?);
    }
    Ok((batch, changes))
}

fn decide_fully_read(
    snapshot: &Snapshot,
    (user, room_id, event_id): (&UserId, &RoomId, OwnedEventId),
    batch: &mut Batch,
) -> Result<Option<Change>, ReceiptError> {
    let localpart = user.localpart();
    let room = receipts::joined_room(snapshot, localpart, room_id)?;
    let order = receipts::order(snapshot, room, &event_id)?.ok_or(ReceiptError::UnknownEvent)?;
    let before = account_data::get(snapshot, localpart, Some(room), KIND)?;
    if let Some(marked) = before.as_ref().and_then(marked)
        && receipts::order(snapshot, room, &marked)?.is_some_and(|marked| order <= marked)
    {
        return Ok(None);
    }
    let content = serde_json::to_vec(&Content { event_id }).map_err(|error| {
        // An id always serialises; an error here is one of the store's encoding.
        StoreError::Corrupt(error.to_string().into())
    })?;
    account_data::require(batch, localpart, (Some(room), KIND), before.as_ref());
    account_data::put(batch, localpart, (Some(room), KIND), &content, before.as_ref());
    Ok(Some(Change::AccountData { user: localpart.to_owned(), room: Some(room) }))
}

fn marked(item: &Item) -> Option<OwnedEventId> {
    let Content { event_id } = serde_json::from_slice(&item.content).ok()?;
    Some(event_id)
}

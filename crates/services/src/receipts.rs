//! Receipts: how far users have read.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#receipts>

use kv::{Batch, CommitError, Snapshot, StoreError};
use model::RoomNumber;
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId,
    events::room::member::MembershipState,
};
use store::{
    log::Change,
    memberships,
    receipts::{self, Owner},
    rooms,
};

use crate::{Context, room_rows::RoomRows, threads};

pub use self::content::content;
pub use store::receipts::{Kind, Receipt, Thread};

mod content;
#[cfg(test)]
mod tests;

/// Receipts of one room that a sync tells at once; the newest ones.
pub const RECEIPTS_TOLD_MAX: usize = 1_000;
/// How often a receipt is decided again because the same user moved it at the same moment.
const ATTEMPTS_MAX: usize = 3;
/// Receipts of another server that are written in one commit.
const BATCH_RECEIPTS_MAX: usize = 200;

#[derive(Clone, Debug, thiserror::Error)]
pub enum ReceiptError {
    #[error("the user is not in the room")]
    NotJoined,
    #[error("there is no such event in the room")]
    UnknownEvent,
    #[error("the event is not in that thread")]
    NotInThread,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// One homeserver's receipts. Cheap to clone.
#[derive(Clone)]
pub struct Receipts(Context);

/// A receipt that another server tells.
#[derive(Clone, Debug)]
pub struct RemoteReceipt {
    pub user: OwnedUserId,
    pub thread: Thread,
    pub event_id: OwnedEventId,
    pub ts_ms: u64,
}

impl Receipts {
    pub fn new(context: Context) -> Self {
        Self(context)
    }

    /// Moves a local user's receipt to the event; never back.
    pub async fn set(
        &self,
        user: &UserId,
        room_id: &RoomId,
        (kind, thread): (Kind, Thread),
        event_id: &EventId,
    ) -> Result<(), ReceiptError> {
        let owner = Owner { user: user.to_owned(), kind, thread };
        let ts_ms = self.0.clock.now_ms();
        let mut attempt = 1;
        loop {
            let (context, owner) = (self.0.clone(), owner.clone());
            let (room_id, event_id) = (room_id.to_owned(), event_id.to_owned());
            let decide = move |rows: &Snapshot| {
                let mut batch = context.batch();
                let moved = decide(rows, &context, &room_id, (owner, event_id, ts_ms), &mut batch)?;
                Ok::<_, ReceiptError>(moved.map(|change| (batch, change)))
            };
            let Some((batch, change)) = self.0.store.read(decide).await? else { return Ok(()) };
            match self.0.log.commit(batch, vec![change]).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Precondition(_)) if attempt < ATTEMPTS_MAX => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes in what another server says its users have read. What it may not say (of users that
    /// are not its own, or not in the room) is passed over, like rooms that we are not in.
    pub async fn set_remote(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        told: Vec<RemoteReceipt>,
    ) -> Result<(), ReceiptError> {
        let own = told.into_iter().filter(|receipt| receipt.user.server_name() == origin);
        let own: Vec<RemoteReceipt> = own.collect();
        for told in own.chunks(BATCH_RECEIPTS_MAX) {
            let (context, room_id, told) = (self.0.clone(), room_id.to_owned(), told.to_vec());
            let decide = move |rows: &Snapshot| decide_remote(rows, &context, &room_id, told);
            let (batch, changes) = self.0.store.read(decide).await?;
            if changes.is_empty() {
                continue;
            }
            match self.0.log.commit(batch, changes).await {
                // The same receipts came in twice at once: what is stored is as good as this.
                Ok(_) | Err(CommitError::Precondition(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The receipts of the room that `viewer` is to be told: those that moved after `since` (`None`:
/// all), the newest ones, and in any case his own.
pub fn changed_since(
    snapshot: &Snapshot,
    room: RoomNumber,
    viewer: &UserId,
    since: Option<u64>,
) -> Result<Vec<Receipt>, StoreError> {
    let range = (since.unwrap_or(0), u64::MAX - 1);
    let mut changed = receipts::changed(snapshot, room, range, RECEIPTS_TOLD_MAX)?;
    if since.is_none() && changed.len() == RECEIPTS_TOLD_MAX {
        changed.retain(|receipt| receipt.owner.user != viewer);
        changed.extend(receipts::of_user(snapshot, room, viewer)?);
    }
    let hidden =
        |receipt: &Receipt| receipt.owner.kind == Kind::Private && receipt.owner.user != viewer;
    changed.retain(|receipt| !hidden(receipt));
    Ok(changed)
}

/// Writes the move of a local user's receipt, unless it would be none.
pub(crate) fn decide(
    snapshot: &Snapshot,
    context: &Context,
    room_id: &RoomId,
    (owner, event_id, ts_ms): (Owner, OwnedEventId, u64),
    batch: &mut Batch,
) -> Result<Option<Change>, ReceiptError> {
    let room = joined_room(snapshot, owner.user.localpart(), room_id)?;
    let rows = RoomRows { snapshot, room, salt: context.state_salt };
    let event = rows.event_by_id(&event_id)?.filter(|event| event.is_accepted());
    let event = event.ok_or(ReceiptError::UnknownEvent)?;
    if !threads::may_be_read_in(&rows, &event.pdu, &owner.thread)? {
        return Err(ReceiptError::NotInThread);
    }
    Ok(write_move(snapshot, room, (owner, event_id, ts_ms), batch)?)
}

fn decide_remote(
    snapshot: &Snapshot,
    context: &Context,
    room_id: &OwnedRoomId,
    told: Vec<RemoteReceipt>,
) -> Result<(Batch, Vec<Change>), ReceiptError> {
    let mut batch = context.batch();
    let mut changes = Vec::new();
    let Some(room) = rooms::number(snapshot, room_id)? else { return Ok((batch, changes)) };
    let Some(head) = rooms::head(snapshot, room)? else { return Ok((batch, changes)) };
    let rows = RoomRows { snapshot, room, salt: context.state_salt };
    let state = rows.state(head.state);
    let mut moved = std::collections::HashSet::new();
    for RemoteReceipt { user, thread, event_id, ts_ms } in told {
        if state.membership(&user)? != MembershipState::Join {
            continue;
        }
        let owner = Owner { user, kind: Kind::Public, thread };
        // A second one for the same owner would contradict the first one's precondition.
        if moved.insert(owner.clone()) {
            changes.extend(write_move(snapshot, room, (owner, event_id, ts_ms), &mut batch)?);
        }
    }
    Ok((batch, changes))
}

/// Moves the receipt, unless that would be back, or nowhere. An event that is not known (another
/// server may tell a receipt before its event) is taken to be newer than any that is.
fn write_move(
    snapshot: &Snapshot,
    room: RoomNumber,
    (owner, event_id, ts_ms): (Owner, OwnedEventId, u64),
    batch: &mut Batch,
) -> Result<Option<Change>, StoreError> {
    let before = receipts::get(snapshot, room, &owner)?;
    if let Some(before) = &before {
        let orders = (order(snapshot, room, &before.event_id)?, order(snapshot, room, &event_id)?);
        let back = matches!(orders, (Some(before), Some(now)) if now <= before);
        if back || before.event_id == event_id {
            return Ok(None);
        }
    }
    receipts::replace(batch, room, before.as_ref(), (&owner, event_id, ts_ms));
    Ok(Some(Change::Receipt { room, user: owner.user.to_string() }))
}

/// The room's number, if the local user is joined to it.
pub(crate) fn joined_room(
    snapshot: &Snapshot,
    localpart: &str,
    room_id: &RoomId,
) -> Result<RoomNumber, ReceiptError> {
    let room = rooms::number(snapshot, room_id)?.ok_or(ReceiptError::NotJoined)?;
    let membership = memberships::get(snapshot, localpart, room)?;
    let joined = membership.is_some_and(|membership| membership.kind == memberships::Kind::Join);
    if joined { Ok(room) } else { Err(ReceiptError::NotJoined) }
}

/// Where the event stands in the room's timeline.
pub(crate) fn order(
    snapshot: &Snapshot,
    room: RoomNumber,
    event_id: &EventId,
) -> Result<Option<store::events::Order>, StoreError> {
    match store::events::number(snapshot, event_id)? {
        Some((found, number)) if found == room => {
            let event = store::events::get(snapshot, room, number)?;
            Ok(event.and_then(|event| event.order()))
        }
        _ => Ok(None),
    }
}

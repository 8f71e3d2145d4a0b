//! State nodes that nothing refers to: parts of states that were only drafted on the way to
//! another, or that another server told and resolution did not keep.
//!
//! Nodes that are in use are marked on a snapshot, while the room goes on; what is left is removed
//! only if the room was not written meanwhile, because a new state may use any node again.

use std::{collections::HashSet, sync::Arc};

use kv::StoreError;
use model::{
    RoomNumber,
    state_tree::{NodeId, StateTree},
};
use ruma::OwnedRoomId;
use store::{
    events,
    log::Change,
    room_states,
    rooms::{self, RoomHead},
    state,
};

use super::{Room, Rooms, WriteError};
use crate::room_rows::RoomRows;

/// Nodes that are marked in memory (16 bytes each). A room whose states have more is left as it is.
const MARKED_MAX: usize = 2_000_000;
/// Nodes that one collection removes; the next one goes on.
const REMOVED_MAX: usize = 10_000;
/// A room is looked at again when it has grown by a quarter and by at least so many events, so that
/// all collections together read no more than a few times what was written.
const GROWTH_MIN: u64 = 64;

/// What became of one room's collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// So many nodes were removed.
    Removed(usize),
    /// The room was written meanwhile: nothing was removed.
    Busy,
    /// The room's states are too large to be marked in memory.
    TooLarge,
}

/// What a look at the room's rows came to.
struct Survey {
    head: RoomHead,
    /// `None`: too many nodes.
    unused: Option<Vec<NodeId>>,
}

impl Rooms {
    /// The rooms that have grown enough since their unused nodes were last removed.
    pub async fn to_collect(&self) -> Result<Vec<OwnedRoomId>, StoreError> {
        let due = |rows: &kv::Snapshot| {
            let mut due = Vec::new();
            for (room, head) in rooms::all(rows)? {
                if is_due(&head, rooms::collected(rows, room)?) {
                    due.extend(OwnedRoomId::try_from(head.room_id));
                }
            }
            Ok(due)
        };
        self.context().store.read(due).await
    }

    /// Removes state nodes of the room that nothing refers to.
    pub async fn collect(&self, room: &Arc<Room>) -> Result<Collection, WriteError> {
        let number = room.number;
        let (submitted, survey) = self.settled(room, move |rows| survey(rows, number)).await?;
        let Some(Survey { head, unused }) = survey else { return Ok(Collection::Removed(0)) };
        let removed: &[NodeId] = unused.as_deref().unwrap_or_default();
        let removed = &removed[..removed.len().min(REMOVED_MAX)];
        let mut batch = self.context().batch();
        rooms::require_head(&mut batch, number, Some(&head));
        rooms::put_collected(&mut batch, number, head.next_event);
        for node in removed {
            state::remove_node(&mut batch, number, node);
        }
        let committed =
            self.commit_settled(room, submitted, (batch, vec![Change::Nothing])).await?;
        Ok(match (committed, unused.is_some()) {
            (false, _) => Collection::Busy,
            (true, true) => Collection::Removed(removed.len()),
            (true, false) => Collection::TooLarge,
        })
    }
}

fn is_due(head: &RoomHead, collected: u64) -> bool {
    head.next_event >= collected + collected / 4 + GROWTH_MIN
}

fn survey(rows: RoomRows<'_>, room: RoomNumber) -> Result<Option<Survey>, StoreError> {
    let Some(head) = rooms::head(rows.snapshot, room)? else { return Ok(None) };
    let marked = marked(rows, &head)?;
    let unused = marked.map(|marked| {
        let mut unused = Vec::new();
        state::each_node(rows.snapshot, room, |id| {
            if !marked.contains(&id) {
                unused.push(id);
            }
        })?;
        Ok::<_, StoreError>(unused)
    });
    Ok(Some(Survey { head, unused: unused.transpose()? }))
}

/// Every node of every state that the room has or had; `None` if they are too many.
fn marked(rows: RoomRows<'_>, head: &RoomHead) -> Result<Option<HashSet<NodeId>>, StoreError> {
    let mut roots: HashSet<NodeId> = HashSet::from([head.state]);
    roots.extend(head.extremities.iter().map(|extremity| extremity.state));
    room_states::each(rows.snapshot, rows.room, |root| {
        roots.insert(root);
    })?;
    events::each(rows.snapshot, rows.room, |event| {
        roots.extend(event.record.state_before);
        roots.extend(event.record.state_after);
        Ok(())
    })?;
    let mut marked = HashSet::new();
    let mut too_many = false;
    StateTree::new(rows.salt).reachable(&rows, roots, |id| {
        too_many |= marked.len() >= MARKED_MAX;
        !too_many && marked.insert(*id)
    })?;
    Ok((!too_many).then_some(marked))
}

#[cfg(test)]
mod tests;

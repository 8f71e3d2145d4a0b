//! Which thread of its room an event belongs to.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#threading>

use kv::StoreError;
use model::pdu::Pdu;
use store::{
    receipts::Thread,
    relations::{self, Relation},
};

use crate::room_rows::RoomRows;

/// Relations that are followed from an event towards a thread: an edit of a reply in a thread is
/// two away from its root. The specification asks for three at least.
const HOPS_MAX: usize = 3;

/// The thread that the event is in: [`Thread::Root`], or [`Thread::Main`] when it is in none.
///
/// An event is in a thread if it says so, or if what it relates to (as an edit or a reaction does)
/// is. The root itself is in the main timeline.
pub fn of(rows: &RoomRows<'_>, pdu: &Pdu) -> Result<Thread, StoreError> {
    let mut relation = relations::of(pdu);
    for _ in 0..HOPS_MAX {
        let Some(Relation { rel_type, parent }) = relation else { break };
        if rel_type == relations::THREAD {
            return Ok(Thread::Root(parent));
        }
        let Some(event) = rows.event_by_id(&parent)? else { break };
        relation = relations::of(&event.pdu);
    }
    Ok(Thread::Main)
}

/// Whether a receipt in `thread` may stand at the event: it is in the thread, or begins it, or
/// relates to its beginning.
pub fn may_be_read_in(rows: &RoomRows<'_>, pdu: &Pdu, thread: &Thread) -> Result<bool, StoreError> {
    let Thread::Root(root) = thread else {
        return Ok(*thread == Thread::Unthreaded || of(rows, pdu)? == *thread);
    };
    if pdu.event_id == *root || of(rows, pdu)? == *thread {
        return Ok(true);
    }
    let mut relation = relations::of(pdu);
    for _ in 0..HOPS_MAX {
        let Some(Relation { parent, .. }) = relation else { return Ok(false) };
        if parent == *root {
            return Ok(true);
        }
        let Some(event) = rows.event_by_id(&parent)? else { return Ok(false) };
        relation = relations::of(&event.pdu);
    }
    Ok(false)
}

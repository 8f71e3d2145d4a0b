//! A room's summary: how many are in it, and after whom to call it if it has no name.

use kv::StoreError;
use model::{
    EventNumber,
    membership::Membership,
    state_tree::{NodeId, StateTree},
};
use ruma::OwnedUserId;

use super::answer::Summary;
use crate::{client_event::EventView, reader::RoomView};

/// "This should be the first 5 members of the room, ordered by stream ordering, which are joined or
/// invited."
const HEROES_MAX: usize = 5;

/// The summary at a state; without anything if no member and no name changed since `known`.
pub(super) fn summary(
    room: &RoomView<'_>,
    known: NodeId,
    now: NodeId,
) -> Result<Summary, StoreError> {
    let tree = StateTree::new(room.rows.salt);
    if known != StateTree::EMPTY {
        let differences = tree.diff(&room.rows, known, now)?;
        let matters = |event_type: &str| {
            ["m.room.member", "m.room.name", "m.room.canonical_alias"].contains(&event_type)
        };
        if !differences.iter().any(|difference| matters(&difference.event_type)) {
            return Ok(Summary::default());
        }
    }
    let members = Members::at(room, now)?;
    let (joined, invited) = (Some(members.joined), Some(members.invited));
    let heroes = match is_named(room, now)? {
        true => None,
        false => Some(members.heroes(&room.reader.user)),
    };
    Ok(Summary { heroes, joined, invited })
}

struct Members {
    joined: u64,
    invited: u64,
    /// Joined and invited ones, and the others.
    present: Vec<(EventNumber, OwnedUserId)>,
    gone: Vec<(EventNumber, OwnedUserId)>,
}

impl Members {
    fn at(room: &RoomView<'_>, root: NodeId) -> Result<Self, StoreError> {
        let mut members = Self { joined: 0, invited: 0, present: Vec::new(), gone: Vec::new() };
        for (user, entry) in crate::state_reads::member_entries(room, root)? {
            let Ok(user) = OwnedUserId::try_from(user) else { continue };
            match entry.membership {
                Some(Membership::Join) => members.joined += 1,
                Some(Membership::Invite) => members.invited += 1,
                _ => {
                    members.gone.push((entry.event, user));
                    continue;
                }
            }
            members.present.push((entry.event, user));
        }
        Ok(members)
    }

    fn heroes(mut self, reader: &OwnedUserId) -> Vec<OwnedUserId> {
        let others = |list: &mut Vec<(EventNumber, OwnedUserId)>| {
            list.retain(|(_, user)| user != reader);
            list.sort_unstable();
            list.truncate(HEROES_MAX);
            std::mem::take(list).into_iter().map(|(_, user)| user).collect::<Vec<_>>()
        };
        let present = others(&mut self.present);
        // "When no joined or invited members are available, this should consist of the banned and
        // left users."
        if present.is_empty() { others(&mut self.gone) } else { present }
    }
}

/// Whether the room has a name or an alias to be called by.
fn is_named(room: &RoomView<'_>, root: NodeId) -> Result<bool, StoreError> {
    for (event_type, field) in [("m.room.name", "name"), ("m.room.canonical_alias", "alias")] {
        let Some(entry) = room.rows.state(root).entry(event_type, "")? else { continue };
        let Some(event) = room.stored(entry.event)? else { continue };
        let content = EventView::read(&event)?.content;
        let content: Option<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_str(content.get()).ok();
        let value = content.as_ref().and_then(|content| content.get(field)?.as_str());
        if value.is_some_and(|value| !value.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

//! Who may see an event. Every way by which an event can reach a reader asks here.
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility>.
//!
//! Whatever is not positively visible is hidden. Which events are never shown to anybody (rejected
//! and soft-failed ones) is for the caller to know.

use serde::Deserialize;

use crate::{membership::Membership, pdu::Pdu};

#[cfg(test)]
mod tests;

/// From when on users see a room's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryVisibility {
    /// Everybody sees everything, now and for ever.
    WorldReadable,
    /// Members see everything since they were invited.
    Invited,
    /// Members see everything since they joined.
    Joined,
    /// Members see everything. Also what no value means, or one that nobody knows.
    #[default]
    #[serde(other)]
    Shared,
}

impl HistoryVisibility {
    /// What the state's `m.room.history_visibility` event says, if there is one.
    pub fn of(event: Option<&Pdu>) -> Self {
        #[derive(Deserialize)]
        struct Content {
            history_visibility: HistoryVisibility,
        }
        let content = event.and_then(|event| event.content_as::<Content>());
        content.map(|content| content.history_visibility).unwrap_or_default()
    }
}

/// What decides, at one state of the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub visibility: HistoryVisibility,
    /// Of the user who wants to see the event.
    pub membership: Membership,
}

/// An event, as one user relates to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// At the state before the event.
    pub before: Moment,
    /// At the state after it. Differs only for the two events that change what decides:
    /// `m.room.history_visibility`, and the user's own `m.room.member`.
    pub after: Moment,
    /// The user was joined to the room at some time after the event.
    pub joined_later: bool,
}

impl View {
    /// The view of an event that changes neither the visibility nor the user's membership.
    pub fn unchanged(moment: Moment, joined_later: bool) -> Self {
        Self { before: moment, after: moment, joined_later }
    }

    /// Whether the user may see the event.
    pub fn is_allowed(&self) -> bool {
        // "For m.room.history_visibility events themselves, the user should be allowed to see the
        // event if the history_visibility before or after the event would allow them to see it.
        // Likewise, for the user's own m.room.member events, the user should be allowed to see the
        // event if their membership before or after the event would allow them to see it."
        let by_rule = self.before.allows(self.joined_later) || self.after.allows(self.joined_later);
        by_rule || self.is_refusal()
    }

    /// Whether the event ends the user's invitation or knock. The rules alone would hide it, and his
    /// clients would go on showing what is over.
    fn is_refusal(&self) -> bool {
        let asked = matches!(self.before.membership, Membership::Invite | Membership::Knock);
        asked && matches!(self.after.membership, Membership::Leave | Membership::Ban)
    }
}

impl Moment {
    /// Whether an event may be seen that was sent at this moment.
    pub fn allows(&self, joined_later: bool) -> bool {
        match self.visibility {
            // 1. "If the history_visibility was set to world_readable, allow."
            HistoryVisibility::WorldReadable => true,
            // 2. "If the user's membership was join, allow."
            _ if self.membership == Membership::Join => true,
            // 3. "If history_visibility was set to shared, and the user joined the room at any point
            //    after the event was sent, allow."
            HistoryVisibility::Shared => joined_later,
            // 4. "If the user's membership was invite, and the history_visibility was set to
            //    invited, allow."
            HistoryVisibility::Invited => self.membership == Membership::Invite,
            // 5. "Otherwise, deny."
            HistoryVisibility::Joined => false,
        }
    }
}

/// Whether another server that takes part in the room may be sent an event: the event's visibility,
/// and the memberships of that server's users at the event. A server sees what one of its users may
/// see; history that is shared it may see because its users are, or were, in the room.
pub fn server_may_see(
    visibility: HistoryVisibility,
    users_at_event: impl IntoIterator<Item = Membership>,
) -> bool {
    let mut users = users_at_event.into_iter();
    match visibility {
        HistoryVisibility::WorldReadable | HistoryVisibility::Shared => true,
        HistoryVisibility::Invited => {
            users.any(|user| matches!(user, Membership::Join | Membership::Invite))
        }
        HistoryVisibility::Joined => users.any(|user| user == Membership::Join),
    }
}

//! The end of an invitation or a knock, told by another server for a room that we are not in.

use std::sync::Arc;

use model::pdu::Pdu;
use ruma::{ServerName, UserId, events::room::member::MembershipState};
use serde::Deserialize;
use serde_json::value::RawValue;
use store::memberships::{Kind, Membership};

use super::{
    Room, Rooms, WriteError,
    invite::{Away, inviting_user},
};

impl Rooms {
    /// Takes in a verified event that puts a local user out of a room that this homeserver is not
    /// in. An invitation is taken back by who made it: whether others may, only the room's state
    /// would tell. A knock is turned down by a server that let the user knock. Says whether it meant
    /// anything.
    pub async fn receive_retraction(
        &self,
        room: &Arc<Room>,
        event: &Pdu,
    ) -> Result<bool, WriteError> {
        let ends =
            matches!(event.membership(), Some(MembershipState::Leave | MembershipState::Ban));
        let user = event.state_key.as_deref().and_then(|key| UserId::parse(key).ok());
        let Some(user) = user.filter(|user| ends && self.context().is_local(user)) else {
            return Ok(false);
        };
        let Some(membership) = self.membership(room, &user).await? else { return Ok(false) };
        let may = match membership.kind {
            Kind::Invite => inviting_user(&membership).is_some_and(|who| who == event.sender),
            Kind::Knock => told_of(&membership, event.sender.server_name()),
            Kind::Join | Kind::Leave | Kind::Ban => false,
        };
        if !may || !builds_on(event, membership.opened_by.as_deref()) {
            return Ok(false);
        }
        let ending = Some(super::invite::ending_json(event));
        self.put_away(room, &user, Away::Over, ending).await?;
        Ok(true)
    }
}

/// Whether the event replaces the one that is known. The end of an earlier invitation may come
/// after a new one, which it does not end.
fn builds_on(event: &Pdu, opened_by: Option<&str>) -> bool {
    opened_by.is_none_or(|opened_by| event.auth_events.iter().any(|id| id.as_str() == opened_by))
}

/// Whether what we were shown of the room is, in part, by a user of that server.
fn told_of(membership: &Membership, server: &ServerName) -> bool {
    #[derive(Deserialize)]
    struct Stripped {
        sender: ruma::OwnedUserId,
    }
    let stripped = membership.stripped_state.as_deref().unwrap_or("[]");
    let events: Vec<&RawValue> = serde_json::from_str(stripped).unwrap_or_default();
    let mut senders =
        events.into_iter().filter_map(|event| serde_json::from_str::<Stripped>(event.get()).ok());
    senders.any(|event| event.sender.server_name() == server)
}

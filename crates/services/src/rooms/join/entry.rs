//! How a join begins: here, or else through other servers.

use ruma::events::room::member::MembershipState;

use super::{BEHIND_PAUSES, JoinError, Joining};
use crate::rooms::{
    Rooms, WriteError,
    membership::{NewMembership, Residence},
    remote::RemoteError,
};

/// What came of a try to join without other servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Joined,
    /// This homeserver is not in the room.
    Away,
    /// The user may join, but nobody of this homeserver may vouch for him.
    Unvouched,
}

impl Rooms {
    /// Joins a local user to a room.
    ///
    /// Into a restricted room that we are in and where none of our users may vouch for him, another
    /// server lets him; and it may not have heard yet that he is in the room that entitles him, for
    /// clients join a space and then at once a room of it. Nor may we have heard who may vouch.
    pub async fn join(&self, joining: Joining) -> Result<(), JoinError> {
        // Not the last one: what stands against him may be that he may not join.
        let mut pauses = BEHIND_PAUSES.into_iter().take(3);
        loop {
            let (entry, refused) = match self.join_once(&joining).await {
                Err((entry, refused)) => (entry, refused),
                Ok(()) => return Ok(()),
            };
            let is_behind = matches!(
                (entry, &refused),
                (Entry::Unvouched, JoinError::Remote(RemoteError::Refused { status: 403, .. }))
            );
            match pauses.next().filter(|_| is_behind) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(refused),
            }
        }
    }

    /// One try: here, or else through other servers.
    async fn join_once(&self, joining: &Joining) -> Result<(), (Entry, JoinError)> {
        let away = |error| (Entry::Away, error);
        if self.join_here(joining).await.map_err(away)? == Entry::Joined {
            return Ok(());
        }
        let _entrance = self.inner.entrances.enter(&joining.room_id).await;
        // Somebody else may have brought us into the room meanwhile.
        let entry = self.join_here(joining).await.map_err(away)?;
        if entry == Entry::Joined {
            return Ok(());
        }
        let room = self.find(&joining.room_id).await.map_err(|error| away(error.into()))?;
        self.join_remotely(room.as_deref(), joining).await.map_err(|error| (entry, error))
    }

    /// Joins if this homeserver is in the room and may let the user in.
    async fn join_here(&self, joining: &Joining) -> Result<Entry, JoinError> {
        let Some(room) = self.find(&joining.room_id).await? else { return Ok(Entry::Away) };
        if self.residence(&room).await? == Residence::Away {
            return Ok(Entry::Away);
        }
        let new = NewMembership {
            sender: joining.user.clone(),
            target: joining.user.clone(),
            membership: MembershipState::Join,
            content: joining.content.clone(),
        };
        match self.change_membership(&room, new).await {
            Ok(_) => Ok(Entry::Joined),
            // Somebody of another server may still vouch for the user.
            Err(WriteError::CannotAuthorise) => Ok(Entry::Unvouched),
            Err(error) => Err(error.into()),
        }
    }
}

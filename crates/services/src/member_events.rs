//! Member events follow the account: a new name or avatar is shown in the user's rooms, and who is
//! deactivated leaves them.
//!
//! What has to follow is written in the batch of the change itself, so that a crash between two
//! rooms is made good by the next start. Doing it twice changes nothing.

use std::sync::Arc;

use kv::{CommitError, StoreError};
use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::Map;
use store::{
    accounts,
    log::Change,
    memberships::{self, Kind},
};
use tokio::sync::Notify;

use crate::{
    Context,
    log::Follower,
    rooms::{Rooms, join::Joining},
};

#[cfg(test)]
mod tests;

#[derive(Clone, Debug, thiserror::Error)]
pub enum MemberEventsError {
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct MemberEvents {
    context: Context,
    rooms: Rooms,
    signal: Arc<Notify>,
}

impl MemberEvents {
    pub fn new(context: Context, rooms: Rooms) -> Self {
        let signal = Arc::new(Notify::new());
        context.log.follow(Arc::new(Bell(Arc::clone(&signal))));
        Self { context, rooms, signal }
    }

    /// Rings when there may be something to do.
    pub fn signal(&self) -> Arc<Notify> {
        Arc::clone(&self.signal)
    }

    /// Brings the rooms of everybody up to date who has changed.
    pub async fn follow_all(&self) -> Result<(), MemberEventsError> {
        for (localpart, position) in self.context.store.read(accounts::unfinished).await? {
            self.follow(&localpart).await?;
            self.finish(localpart, position).await?;
        }
        Ok(())
    }

    /// Brings the rooms of one user up to date, for whoever waits for it.
    pub async fn follow_user(&self, user: &UserId) -> Result<(), MemberEventsError> {
        let localpart = user.localpart().to_owned();
        let name = localpart.clone();
        let position =
            self.context.store.read(move |rows| accounts::unfinished_of(rows, &name)).await?;
        if let Some(position) = position {
            self.follow(&localpart).await?;
            self.finish(localpart, position).await?;
        }
        Ok(())
    }

    async fn follow(&self, localpart: &str) -> Result<(), StoreError> {
        let user = self.context.user_id(localpart);
        let name = localpart.to_owned();
        let (is_gone, rooms) = self
            .context
            .store
            .read(move |rows| {
                let account = accounts::get(rows, &name)?;
                let is_gone = account.is_none_or(|account| account.deactivated);
                Ok::<_, StoreError>((is_gone, rooms_of(rows, &name)?))
            })
            .await?;
        if !is_gone {
            return self.rooms.spread_profile(&user).await;
        }
        for room_id in rooms {
            let leaving = Joining {
                user: user.clone(),
                room_id: room_id.clone(),
                via: Vec::new(),
                content: Map::new(),
            };
            if let Err(error) = self.rooms.leave(leaving).await {
                tracing::info!(%room_id, %error, "a deactivated user could not leave a room");
            }
        }
        Ok(())
    }

    async fn finish(&self, localpart: String, position: u64) -> Result<(), MemberEventsError> {
        let mut batch = self.context.batch();
        accounts::finish(&mut batch, &localpart, position);
        match self.context.log.commit(batch, vec![Change::Nothing]).await {
            // A later change is noted: it has rung for itself.
            Ok(_) | Err(CommitError::Precondition(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The rooms that the user is in, is invited to or knocks at.
fn rooms_of(rows: &kv::Snapshot, localpart: &str) -> Result<Vec<OwnedRoomId>, StoreError> {
    let rooms = memberships::of_user(rows, localpart)?.into_iter();
    let rooms = rooms.filter(|(_, membership)| {
        matches!(membership.kind, Kind::Join | Kind::Invite | Kind::Knock)
    });
    let heads = rooms.filter_map(|(room, _)| store::rooms::head(rows, room).transpose());
    let id = |head: Result<store::rooms::RoomHead, StoreError>| {
        RoomId::parse(head?.room_id).map_err(|_| store::value::corrupt("room id"))
    };
    heads.map(id).collect()
}

/// Follows the log to know when there is something to do.
struct Bell(Arc<Notify>);

impl Follower for Bell {
    fn changed(&self, _: u64, entry: &[Change]) {
        if entry.iter().any(|change| matches!(change, Change::Profile { .. })) {
            self.0.notify_one();
        }
    }
}

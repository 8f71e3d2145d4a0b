//! What a sync that has nothing to tell waits for.
//!
//! Small, and apart from everything else that a sync holds: there are many who wait, for minutes.

use std::sync::Arc;

use tokio::sync::watch;

use super::Syncs;
use crate::{inbox::Inboxes, presence::Presences, typing::Typing};

/// Hears what happens for one user.
pub struct News {
    localpart: Box<str>,
    inboxes: Arc<Inboxes>,
    bell: watch::Receiver<u64>,
    /// What is told but not kept: who types, who is there. With the serial numbers told so far.
    typing: (Typing, watch::Receiver<u64>, u64),
    presences: (Presences, watch::Receiver<u64>, u64),
}

impl News {
    pub(super) fn new(syncs: &Syncs, localpart: &str) -> Self {
        let (typing, presences) = (syncs.typing.clone(), syncs.presences.clone());
        let (types, is_there) = (typing.watch(), presences.watch());
        Self {
            localpart: localpart.into(),
            inboxes: Arc::clone(&syncs.inboxes),
            bell: syncs.inboxes.bell(localpart),
            typing: (typing, types, 0),
            presences: (presences, is_there, 0),
        }
    }

    /// Begins to listen, and answers the serial numbers up to which typing and presence are to be
    /// told now. To be called before the log's position is read: what happens after is heard.
    pub(super) async fn listen(&mut self) -> (u64, u64) {
        let rung = *self.bell.borrow_and_update();
        self.inboxes.published(rung).await;
        self.typing.2 = *self.typing.1.borrow_and_update();
        self.presences.2 = *self.presences.1.borrow_and_update();
        (self.typing.2, self.presences.2)
    }

    /// Waits until there may be something to tell the user that was not when he last was told.
    pub async fn come(&mut self) {
        let (typing, types, typed) = &mut self.typing;
        let (presences, is_there, present) = &mut self.presences;
        loop {
            tokio::select! {
                // An error says that the other end is gone, because the homeserver stops: then
                // there will be no news, and the timeout ends the wait.
                Ok(()) = self.bell.changed() => return,
                Ok(()) = types.changed() => {
                    let rooms = typing.changed_since(*typed);
                    if self.inboxes.follows_any(&self.localpart, &rooms) {
                        return;
                    }
                }
                Ok(()) = is_there.changed() => {
                    if presences.has_news(&self.localpart, *present) {
                        return;
                    }
                }
                else => std::future::pending().await,
            }
        }
    }
}

//! Removes parts of rooms' states that nothing refers to any more.

use std::time::Duration;

use services::rooms::{Rooms, WriteError, collect::Collection};

use super::{Next, Worker};
use crate::app::App;

const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Collect {
    rooms: Rooms,
    /// The first look is one interval after the start, when there is little else to do.
    begun: bool,
}

impl Collect {
    pub(super) fn new(app: &App) -> Self {
        Self { rooms: app.services.rooms.clone(), begun: false }
    }

    async fn collect(&self) -> Result<usize, WriteError> {
        let mut removed = 0;
        for room_id in self.rooms.to_collect().await? {
            let Some(room) = self.rooms.find(&room_id).await? else { continue };
            match self.rooms.collect(&room).await {
                Ok(Collection::Removed(nodes)) => removed += nodes,
                Ok(Collection::Busy | Collection::TooLarge) => {}
                // The next room is none the worse for it.
                Err(error) => tracing::error!(%room_id, %error, "state nodes cannot be removed"),
            }
        }
        Ok(removed)
    }
}

impl Worker for Collect {
    async fn step(&mut self) -> Next {
        if std::mem::replace(&mut self.begun, true) {
            match self.collect().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "state nodes that nobody needs are removed"),
                Err(error) => tracing::error!(%error, "state nodes cannot be removed"),
            }
        }
        Next::Wait(INTERVAL)
    }
}

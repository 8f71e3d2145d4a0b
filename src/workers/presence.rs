//! Lets users be away whose devices were not heard of for too long.

use std::time::Duration;

use services::presence::Presences;

use super::{Next, Worker};
use crate::app::App;

/// How much later than due others may learn that a user is away.
const INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Expire {
    presences: Presences,
}

impl Expire {
    pub(super) fn new(app: &App) -> Self {
        Self { presences: app.services.presences.clone() }
    }
}

impl Worker for Expire {
    async fn step(&mut self) -> Next {
        if let Err(error) = self.presences.expire().await {
            tracing::error!(%error, "whom a presence is for cannot be read");
        }
        Next::Wait(INTERVAL)
    }
}

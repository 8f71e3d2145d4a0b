//! Writes unread counts that took long to count.

use std::time::Duration;

use services::unread::Unread;

use super::{Next, Worker};
use crate::app::App;

/// What has to be counted again when the process dies.
const INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct Persist {
    unread: Unread,
}

impl Persist {
    pub(super) fn new(app: &App) -> Self {
        Self { unread: app.services.unread.clone() }
    }
}

impl Worker for Persist {
    async fn step(&mut self) -> Next {
        if let Err(error) = self.unread.persist().await {
            tracing::error!(%error, "unread counts cannot be written");
        }
        Next::Wait(INTERVAL)
    }
}

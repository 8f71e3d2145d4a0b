//! Publishes what is durable, should whoever committed it have gone before he could.

use std::{sync::Arc, time::Duration};

use services::log::Log;

use super::{Next, Worker};
use crate::app::App;

/// How long a follower may have to wait in that rare case.
const INTERVAL: Duration = Duration::from_secs(5);

pub(super) struct CatchUp {
    log: Arc<Log>,
}

impl CatchUp {
    pub(super) fn new(app: &App) -> Self {
        Self { log: app.services.context.log.clone() }
    }
}

impl Worker for CatchUp {
    async fn step(&mut self) -> Next {
        if let Err(error) = self.log.catch_up().await {
            tracing::error!(%error, "the log cannot be read");
        }
        Next::Wait(INTERVAL)
    }
}

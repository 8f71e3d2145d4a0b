//! Writes when and from where devices were last seen.

use std::{sync::Arc, time::Duration};

use services::sessions::Sessions;

use super::{Next, Worker};
use crate::app::App;

/// What may be lost when the process dies.
const INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct Write {
    sessions: Arc<Sessions>,
}

impl Write {
    pub(super) fn new(app: &App) -> Self {
        Self { sessions: app.services.sessions.clone() }
    }
}

impl Worker for Write {
    async fn step(&mut self) -> Next {
        if let Err(error) = self.sessions.write_seen().await {
            tracing::error!(%error, "it cannot be written when devices were last seen");
        }
        Next::Wait(INTERVAL)
    }
}

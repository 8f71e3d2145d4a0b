//! Lets member events follow what users changed of their accounts.

use std::{sync::Arc, time::Duration};

use services::member_events::MemberEvents;

use super::{Next, Worker};
use crate::app::App;

/// How long a change waits that could not be followed at once.
const INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct Follow {
    member_events: Arc<MemberEvents>,
}

impl Follow {
    pub(super) fn new(app: &App) -> Self {
        Self { member_events: app.services.member_events.clone() }
    }
}

impl Worker for Follow {
    async fn step(&mut self) -> Next {
        if let Err(error) = self.member_events.follow_all().await {
            tracing::error!(%error, "rooms could not follow a change of an account");
        }
        Next::Wait(INTERVAL)
    }
}

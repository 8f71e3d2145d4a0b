//! Removes files that nobody needs: blobs that no row names, addresses that were never filled.

use std::time::Duration;

use services::media::Media;

use super::{Next, Worker};
use crate::app::App;

const INTERVAL: Duration = Duration::from_secs(6 * 60 * 60);

pub(super) struct Collect {
    media: Media,
}

impl Collect {
    pub(super) fn new(app: &App) -> Self {
        Self { media: app.services.media.clone() }
    }
}

impl Worker for Collect {
    async fn step(&mut self) -> Next {
        match self.media.collect().await {
            Ok(collected) if collected == Default::default() => {}
            Ok(collected) => tracing::info!(?collected, "files that nobody needs are removed"),
            Err(error) => tracing::error!(%error, "files that nobody needs cannot be removed"),
        }
        Next::Wait(INTERVAL)
    }
}

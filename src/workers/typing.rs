//! Lets users stop typing who did not say so, at the moment at which their time is over.

use std::time::Duration;

use tokio::time::sleep;

use crate::app::App;

/// Nobody types longer without saying so again.
const PAUSE_MAX: Duration = Duration::from_secs(120);
/// The clock may be behind the timer.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Never ends; may be dropped at any time.
pub(super) async fn expire(app: App) {
    let (typing, clock) = (&app.services.typing, &app.services.context.clock);
    let mut changes = typing.watch();
    loop {
        changes.borrow_and_update();
        let left_ms = typing.expire().map(|next_ms| next_ms.saturating_sub(clock.now_ms()));
        let pause = left_ms.map_or(PAUSE_MAX, Duration::from_millis);
        tokio::select! {
            () = sleep(pause.clamp(PAUSE_MIN, PAUSE_MAX)) => {}
            // The service, which is ours, outlives the wait.
            _ = changes.changed() => {}
        }
    }
}

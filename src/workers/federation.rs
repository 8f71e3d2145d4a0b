//! Sends to other servers what happens here.

use crate::app::App;

/// Follows the log and sends, without end.
pub(super) async fn send(app: App) {
    app.federation.sender.run().await;
}

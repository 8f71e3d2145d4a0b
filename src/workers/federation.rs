//! Sends to other servers what happens here, and takes in what they sent.

use crate::app::App;

/// Follows the log and sends, and takes in, without end.
pub(super) async fn send(app: App) {
    app.federation.run().await;
}

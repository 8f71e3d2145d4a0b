//! `POST /sync` of simplified sliding sync.
//!
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/4186>

use std::time::Duration;

use axum::Extension;
use serde::Deserialize;
use services::sync::{
    TIMEOUT_MAX,
    sliding::{SlidingError, answer::SlidingAnswer, request::SlidingRequest},
};
use web::{ErrorKind, Json};

use super::{
    asked::{AskedQuery, reader},
    caller::Caller,
    error::Error,
};
use crate::{app::App, http::LongPoll};

#[derive(Deserialize)]
pub(crate) struct Parameters {
    pos: Option<String>,
    #[serde(default)]
    timeout: u64,
}

/// `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`
pub(crate) async fn sync_events(
    Extension(app): Extension<App>,
    caller: Caller,
    AskedQuery(parameters): AskedQuery<Parameters>,
    poll: LongPoll,
) -> Result<Json<SlidingAnswer>, Error> {
    let request: SlidingRequest = web::json::decode(&poll.body)?;
    let position = parameters.pos.as_deref().filter(|position| !position.is_empty());
    let deadline = poll.deadline(Duration::from_millis(parameters.timeout).min(TIMEOUT_MAX));
    let syncs = &app.services.syncs;
    let timeout = poll.patience(deadline);
    let (answer, mut news) = tokio::select! {
        told = syncs.slide(reader(&caller), position, timeout, request.clone()) => told?,
        // The homeserver stops: its clients are sent away with what there is.
        () = app.drain.cancelled() => {
            syncs.slide(reader(&caller), position, Duration::ZERO, request).await?
        }
    };
    if position.is_some() && answer.is_empty() {
        poll.park(deadline, app.drain.clone(), async move { news.come().await }).await;
    }
    Ok(Json(answer))
}

impl From<SlidingError> for Error {
    fn from(error: SlidingError) -> Self {
        match error {
            SlidingError::LoggedOut => web::Error::unknown_token(false).into(),
            SlidingError::UnknownPosition => {
                let message = "The position is not known: begin anew";
                web::Error::bad_request(ErrorKind::UnknownPos, message).into()
            }
            SlidingError::Commit(error) => error.into(),
            SlidingError::Store(error) => error.into(),
        }
    }
}

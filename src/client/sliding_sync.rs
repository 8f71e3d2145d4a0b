//! `POST /sync` of simplified sliding sync.
//!
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/4186>

use std::time::Duration;

use axum::extract::State;
use serde::Deserialize;
use services::sync::sliding::{SlidingError, answer::SlidingAnswer, request::SlidingRequest};
use web::{ErrorKind, Json, JsonBody};

use super::{
    asked::{AskedQuery, reader},
    caller::Caller,
    error::Error,
};
use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct Parameters {
    pos: Option<String>,
    #[serde(default)]
    timeout: u64,
}

/// `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`
pub(crate) async fn sync_events(
    State(app): State<App>,
    caller: Caller,
    AskedQuery(parameters): AskedQuery<Parameters>,
    JsonBody(request): JsonBody<SlidingRequest>,
) -> Result<Json<SlidingAnswer>, Error> {
    let position = parameters.pos.as_deref().filter(|position| !position.is_empty());
    let timeout = Duration::from_millis(parameters.timeout);
    let syncs = &app.services.syncs;
    let answer = tokio::select! {
        answer = syncs.slide(reader(&caller), position, timeout, request.clone()) => answer?,
        // The homeserver stops: its clients are sent away with what there is.
        () = app.drain.cancelled() => {
            syncs.slide(reader(&caller), position, Duration::ZERO, request).await?
        }
    };
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

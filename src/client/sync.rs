//! `GET /sync`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync>

use std::{sync::Arc, time::Duration};

use axum::Extension;
use ruma::presence::PresenceState;
use serde::Deserialize;
use services::{
    filter::Filter,
    sync::{SyncError, SyncQuery, TIMEOUT_MAX, answer::SyncAnswer},
};
use web::Json;

use super::{
    asked::{AskedQuery, reader},
    caller::Caller,
    error::Error,
};
use crate::{app::App, http::LongPoll};

#[cfg(test)]
mod tests;

#[derive(Deserialize)]
pub(crate) struct Parameters {
    filter: Option<String>,
    since: Option<String>,
    #[serde(default)]
    full_state: bool,
    #[serde(default)]
    use_state_after: bool,
    /// The same, by its name from before it was a part of the specification. Clients send both.
    #[serde(default, rename = "org.matrix.msc4222.use_state_after")]
    use_state_after_as_proposed: bool,
    #[serde(default)]
    timeout: u64,
    #[serde(default)]
    set_presence: PresenceState,
}

/// `GET /_matrix/client/v3/sync`
pub(crate) async fn sync_events(
    Extension(app): Extension<App>,
    caller: Caller,
    AskedQuery(parameters): AskedQuery<Parameters>,
    poll: LongPoll,
) -> Result<Json<SyncAnswer>, Error> {
    let deadline = poll.deadline(Duration::from_millis(parameters.timeout).min(TIMEOUT_MAX));
    let query = Arc::new(SyncQuery {
        filter: filter(&app, &caller, parameters.filter.as_deref()).await?,
        since: parameters.since.filter(|since| !since.is_empty()),
        full_state: parameters.full_state,
        use_state_after: parameters.use_state_after || parameters.use_state_after_as_proposed,
        timeout: poll.patience(deadline),
    });
    if !poll.was_parked() {
        let (user, device) = (&caller.user_id, caller.device());
        let presences = &app.services.presences;
        presences.syncs(user, device, parameters.set_presence, parameters.timeout).await?;
    }
    let may_wait = query.may_wait();
    // When the homeserver stops, its clients are sent away with what there is.
    let stop = app.drain.cancelled();
    let (answer, mut news) = app.services.syncs.sync(reader(&caller), query, stop).await?;
    if may_wait && answer.is_empty() {
        poll.park(deadline, app.drain.clone(), async move { news.come().await }).await;
    }
    let by_older_name = parameters.use_state_after_as_proposed && !parameters.use_state_after;
    Ok(Json(if by_older_name { answer.with_state_after_as_proposed() } else { answer }))
}

/// "The server will detect whether it is an ID or a JSON object by whether the first character is a
/// `{`."
async fn filter(app: &App, caller: &Caller, filter: Option<&str>) -> Result<Filter, Error> {
    let Some(filter) = filter.filter(|filter| !filter.is_empty()) else {
        return Ok(Filter::default());
    };
    let json = if filter.starts_with('{') {
        filter.to_owned()
    } else {
        let stored = app.services.filters.get(caller, filter).await?;
        let stored = stored.ok_or_else(|| web::Error::invalid_param("There is no such filter"))?;
        String::from_utf8_lossy(&stored).into_owned()
    };
    Filter::parse(&json).map_err(|error| web::Error::bad_json(error.to_string()).into())
}

impl From<SyncError> for Error {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::BadToken => web::Error::invalid_param("The token is not one of ours").into(),
            SyncError::LoggedOut => web::Error::unknown_token(false).into(),
            SyncError::Commit(error) => error.into(),
            SyncError::Store(error) => error.into(),
        }
    }
}

//! `POST /search`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#server-side-search>

use std::collections::BTreeMap;

use axum::Extension;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use services::{
    filter::EventFilter,
    search::{Key, Ranking, Results, SearchError, SearchQuery},
};
use web::{Json, JsonBody};

use super::{
    asked::{AskedQuery, reader},
    caller::Caller,
    error::Error,
};
use crate::app::App;

/// Events on each side of a result, when the client does not say how many.
const AROUND_DEFAULT: usize = 5;

#[derive(Deserialize)]
pub(crate) struct Parameters {
    next_batch: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Body {
    search_categories: Categories,
}

#[derive(Deserialize)]
struct Categories {
    room_events: Option<RoomEvents>,
}

#[derive(Deserialize)]
struct RoomEvents {
    search_term: String,
    #[serde(default)]
    keys: Vec<Key>,
    #[serde(default)]
    filter: EventFilter,
    #[serde(default)]
    order_by: Ranking,
    event_context: Option<Context>,
    #[serde(default)]
    include_state: bool,
    groupings: Option<Groupings>,
}

#[derive(Deserialize)]
struct Context {
    before_limit: Option<usize>,
    after_limit: Option<usize>,
    #[serde(default)]
    include_profile: bool,
}

#[derive(Deserialize)]
struct Groupings {
    #[serde(default)]
    group_by: Vec<Grouping>,
}

#[derive(Deserialize)]
struct Grouping {
    key: GroupKey,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum GroupKey {
    RoomId,
    Sender,
}

/// `POST /_matrix/client/v3/search`
pub(crate) async fn search_events(
    Extension(app): Extension<App>,
    caller: Caller,
    AskedQuery(parameters): AskedQuery<Parameters>,
    JsonBody(body): JsonBody<Body>,
) -> Result<Json<Value>, Error> {
    let Some(asked) = body.search_categories.room_events else {
        return Ok(Json(json!({ "search_categories": {} })));
    };
    let context = asked.event_context;
    let limit = |limit: Option<usize>| limit.unwrap_or(AROUND_DEFAULT);
    let query = SearchQuery {
        term: asked.search_term,
        keys: asked.keys,
        filter: asked.filter,
        order: asked.order_by,
        profiles: context.as_ref().is_some_and(|context| context.include_profile),
        surroundings: context
            .map(|context| (limit(context.before_limit), limit(context.after_limit))),
        state: asked.include_state,
        since: parameters.next_batch.filter(|token| !token.is_empty()),
    };
    let results = app.services.search.search(reader(&caller), query).await?;
    let groups = asked.groupings.map(|groupings| groups(&results, &groupings));
    let mut room_events = json!(results);
    if let (Some(groups), Value::Object(room_events)) = (groups, &mut room_events) {
        room_events.insert("groups".to_owned(), groups);
    }
    Ok(Json(json!({ "search_categories": { "room_events": room_events } })))
}

/// The results of this page by room or by sender, in the order in which those first appear.
fn groups(results: &Results, wanted: &Groupings) -> Value {
    let mut groups = Map::new();
    for Grouping { key } in &wanted.group_by {
        let mut members: BTreeMap<&str, (usize, Vec<Value>)> = BTreeMap::new();
        for (found, (room, sender)) in results.results.iter().zip(&results.origins) {
            let name = if *key == GroupKey::RoomId { room } else { sender };
            let order = members.len();
            let event: Value = serde_json::from_str(found.result.get()).unwrap_or_default();
            members.entry(name).or_insert((order, Vec::new())).1.push(event["event_id"].clone());
        }
        let members: Map<String, Value> = members
            .into_iter()
            .map(|(name, (order, results))| {
                (name.to_owned(), json!({ "order": order, "results": results }))
            })
            .collect();
        let key = json!(key).as_str().unwrap_or_default().to_owned();
        groups.insert(key, Value::Object(members));
    }
    Value::Object(groups)
}

impl From<SearchError> for Error {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::BadToken => {
                web::Error::invalid_param("The token is not one of ours").into()
            }
            SearchError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;

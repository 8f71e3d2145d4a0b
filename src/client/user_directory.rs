//! `POST /user_directory/search`.

use axum::Extension;
use ruma::api::client::user_directory::search_users::v3::Request;
use serde_json::{Value, json};
use services::user_directory::Person;
use web::{Json, Matrix};

use super::{caller::Caller, error::Error};
use crate::app::App;

/// `POST /_matrix/client/v3/user_directory/search`
pub(crate) async fn search_users(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<Request>,
) -> Result<Json<Value>, Error> {
    let limit = usize::try_from(u64::from(request.limit)).unwrap_or(usize::MAX);
    let directory = &app.services.user_directory;
    let (people, limited) = directory.search(&caller, &request.search_term, limit).await?;
    let people: Vec<Value> = people.into_iter().map(answer).collect();
    Ok(Json(json!({ "results": people, "limited": limited })))
}

fn answer(person: Person) -> Value {
    let mut answer = json!({ "user_id": person.user_id });
    if let Some(name) = person.display_name {
        answer["display_name"] = name.into();
    }
    if let Some(url) = person.avatar_url {
        answer["avatar_url"] = url.into();
    }
    answer
}

#[cfg(test)]
mod tests;

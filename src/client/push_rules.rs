//! `/pushrules`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#push-rules>

use axum::Extension;
use ruma::{
    api::client::push::{
        delete_pushrule, get_pushrule, get_pushrule_actions, get_pushrule_enabled, set_pushrule,
        set_pushrule_actions, set_pushrule_enabled,
    },
    push::RuleKind,
};
use serde_json::{Value, json};
use services::push_rules::{PushRuleError, complete};
use web::{ErrorKind, Json, Matrix};

use super::{caller::Caller, error::Error};
use crate::app::App;

/// `GET /_matrix/client/v3/pushrules/`
pub(crate) async fn get_pushrules_all(
    Extension(app): Extension<App>,
    caller: Caller,
) -> Result<Json<Value>, Error> {
    let rules = app.services.push_rules.of(&caller).await?;
    Ok(Json(json!({ "global": complete(&rules) })))
}

/// `GET /_matrix/client/v3/pushrules/global/`
pub(crate) async fn get_pushrules_global_scope(
    Extension(app): Extension<App>,
    caller: Caller,
) -> Result<Json<Value>, Error> {
    Ok(Json(complete(&app.services.push_rules.of(&caller).await?)))
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
pub(crate) async fn get_pushrule(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_pushrule::v3::Request>,
) -> Result<Json<Value>, Error> {
    find(&app, &caller, request.kind.as_str(), &request.rule_id).await.map(Json)
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
pub(crate) async fn set_pushrule(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<set_pushrule::v3::Request>,
) -> Result<Json<Value>, Error> {
    let set_pushrule::v3::Request { rule, before, after } = request;
    app.services.push_rules.put(&caller, rule, after, before).await?;
    Ok(Json(json!({})))
}

/// `DELETE /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
pub(crate) async fn delete_pushrule(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<delete_pushrule::v3::Request>,
) -> Result<Json<Value>, Error> {
    app.services.push_rules.remove(&caller, request.kind, request.rule_id).await?;
    Ok(Json(json!({})))
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`
pub(crate) async fn get_pushrule_enabled(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_pushrule_enabled::v3::Request>,
) -> Result<Json<Value>, Error> {
    let rule = find(&app, &caller, request.kind.as_str(), &request.rule_id).await?;
    Ok(Json(json!({ "enabled": rule["enabled"] })))
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`
pub(crate) async fn set_pushrule_enabled(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<set_pushrule_enabled::v3::Request>,
) -> Result<Json<Value>, Error> {
    let rule = (kind(request.kind), request.rule_id);
    app.services.push_rules.set_enabled(&caller, rule, request.enabled).await?;
    Ok(Json(json!({})))
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`
pub(crate) async fn get_pushrule_actions(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<get_pushrule_actions::v3::Request>,
) -> Result<Json<Value>, Error> {
    let rule = find(&app, &caller, request.kind.as_str(), &request.rule_id).await?;
    Ok(Json(json!({ "actions": rule["actions"] })))
}

/// `PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`
pub(crate) async fn set_pushrule_actions(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<set_pushrule_actions::v3::Request>,
) -> Result<Json<Value>, Error> {
    let rule = (kind(request.kind), request.rule_id);
    app.services.push_rules.set_actions(&caller, rule, request.actions).await?;
    Ok(Json(json!({})))
}

/// The kind, also where it is called as in the rules' own JSON (MSC4306).
fn kind(kind: RuleKind) -> RuleKind {
    if kind.as_str() == "postcontent" { RuleKind::PostContent } else { kind }
}

/// The rule as JSON: ruma's type for a single rule does not know every kind.
async fn find(app: &App, caller: &Caller, kind: &str, id: &str) -> Result<Value, Error> {
    let rules = complete(&app.services.push_rules.of(caller).await?);
    let rules = rules.get(kind).and_then(Value::as_array);
    let rule = rules.and_then(|rules| rules.iter().find(|rule| rule["rule_id"] == id));
    Ok(rule.cloned().ok_or(PushRuleError::UnknownRule)?)
}

impl From<PushRuleError> for Error {
    fn from(error: PushRuleError) -> Self {
        match error {
            PushRuleError::UnknownRule => web::Error::not_found(error.to_string()).into(),
            PushRuleError::UnknownNeighbour => {
                web::Error::bad_request(ErrorKind::Unknown, error.to_string()).into()
            }
            PushRuleError::ServerDefault | PushRuleError::Invalid(_) => {
                web::Error::invalid_param(error.to_string()).into()
            }
            PushRuleError::TooMany => web::Error::too_large(error.to_string()).into(),
            PushRuleError::AccountData(error) => error.into(),
            PushRuleError::Read(error) => error.into(),
            PushRuleError::Commit(error) => error.into(),
        }
    }
}

//! A user's push rules, kept as account data.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#push-rules>

use std::sync::Arc;

use kv::{CommitError, StoreError};
use ruma::{
    UserId,
    push::{Action, InsertPushRuleError, NewPushRule, RemovePushRuleError, RuleKind, Ruleset},
};
use serde_json::{Value, json};
use store::account_data::Item;

use crate::{
    account_data::{AccountData, AccountDataError},
    sessions::Caller,
};

#[cfg(test)]
mod tests;

/// The type of account data that holds the rules.
pub const KIND: &str = "m.push_rules";
/// Kinds of rules that are written even when they are empty: older clients look for each of them.
const KINDS: [&str; 5] = ["override", "content", "room", "sender", "underride"];
/// Rules that a user may add; each costs time for every event in his rooms.
const RULES_MAX: usize = 1_000;

#[derive(Clone, Debug, thiserror::Error)]
pub enum PushRuleError {
    #[error("there is no such push rule")]
    UnknownRule,
    #[error("the rule to place it before or after is not there")]
    UnknownNeighbour,
    #[error("the rule is one of the server's")]
    ServerDefault,
    #[error("the rule's id or place is not acceptable: {0}")]
    Invalid(String),
    #[error("the user has too many push rules")]
    TooMany,
    #[error(transparent)]
    AccountData(#[from] AccountDataError),
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct PushRules {
    account_data: Arc<AccountData>,
}

impl PushRules {
    pub fn new(account_data: Arc<AccountData>) -> Self {
        Self { account_data }
    }

    pub async fn of(&self, caller: &Caller) -> Result<Ruleset, PushRuleError> {
        let content = self.account_data.get(caller, None, KIND).await?;
        read(&caller.user_id, content.as_deref())
    }

    /// Adds or replaces a rule.
    pub async fn put(
        &self,
        caller: &Caller,
        rule: NewPushRule,
        after: Option<String>,
        before: Option<String>,
    ) -> Result<(), PushRuleError> {
        self.amend(caller, move |rules| {
            rules.insert(rule.clone(), after.as_deref(), before.as_deref())?;
            if rules.iter().count() > RULES_MAX {
                return Err(PushRuleError::TooMany);
            }
            Ok(())
        })
        .await
    }

    pub async fn remove(
        &self,
        caller: &Caller,
        kind: RuleKind,
        id: String,
    ) -> Result<(), PushRuleError> {
        self.amend(caller, move |rules| Ok(rules.remove(kind.clone(), &id)?)).await
    }

    pub async fn set_enabled(
        &self,
        caller: &Caller,
        (kind, id): (RuleKind, String),
        enabled: bool,
    ) -> Result<(), PushRuleError> {
        self.amend(caller, move |rules| {
            let set = rules.set_enabled(kind.clone(), &id, enabled);
            set.map_err(|_| PushRuleError::UnknownRule)
        })
        .await
    }

    pub async fn set_actions(
        &self,
        caller: &Caller,
        (kind, id): (RuleKind, String),
        actions: Vec<Action>,
    ) -> Result<(), PushRuleError> {
        self.amend(caller, move |rules| {
            let set = rules.set_actions(kind.clone(), &id, actions.clone());
            set.map_err(|_| PushRuleError::UnknownRule)
        })
        .await
    }

    async fn amend(
        &self,
        caller: &Caller,
        amend: impl Fn(&mut Ruleset) -> Result<(), PushRuleError> + Send + Sync + 'static,
    ) -> Result<(), PushRuleError> {
        let user = caller.user_id.clone();
        let amend = move |old: Option<&Item>| {
            let mut rules = read(&user, old.map(|old| &*old.content))?;
            amend(&mut rules)?;
            Ok(((), content(&rules)))
        };
        self.account_data.amend(caller, (None, KIND), amend).await
    }
}

/// The rules in a content of account data, with today's server defaults in them.
pub fn read(user: &UserId, content: Option<&[u8]>) -> Result<Ruleset, PushRuleError> {
    #[derive(serde::Deserialize)]
    struct Content {
        global: Ruleset,
    }
    let defaults = Ruleset::server_default(user);
    let Some(content) = content else { return Ok(defaults) };
    let content: Content =
        serde_json::from_slice(content).map_err(|_| store::value::corrupt("push rules"))?;
    let mut rules = content.global;
    rules.update_with_server_default(defaults);
    Ok(rules)
}

/// The rules as the content of account data.
pub fn content(rules: &Ruleset) -> String {
    json!({ "global": complete(rules) }).to_string()
}

/// The rules as JSON, with every kind in it.
pub fn complete(rules: &Ruleset) -> Value {
    let mut rules = json!(rules);
    if let Value::Object(rules) = &mut rules {
        for kind in KINDS {
            rules.entry(kind).or_insert_with(|| json!([]));
        }
    }
    rules
}

impl From<InsertPushRuleError> for PushRuleError {
    fn from(error: InsertPushRuleError) -> Self {
        match error {
            InsertPushRuleError::UnknownRuleId => Self::UnknownNeighbour,
            error => Self::Invalid(error.to_string()),
        }
    }
}

impl From<RemovePushRuleError> for PushRuleError {
    fn from(error: RemovePushRuleError) -> Self {
        match error {
            RemovePushRuleError::ServerDefault => Self::ServerDefault,
            _ => Self::UnknownRule,
        }
    }
}

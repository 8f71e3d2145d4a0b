use ruma::push::{Action, NewPatternedPushRule, NewPushRule, RuleKind};
use serde_json::json;

use super::{PushRuleError, complete};
use crate::{sessions::Caller, testing::World};

fn rule(id: &str) -> NewPushRule {
    let actions = vec![Action::Notify];
    NewPushRule::Content(NewPatternedPushRule::new(id.to_owned(), "*cake*".to_owned(), actions))
}

impl World {
    async fn put_rule(
        &self,
        caller: &Caller,
        id: &str,
        after: Option<&str>,
        before: Option<&str>,
    ) -> Result<(), PushRuleError> {
        let owned = |id: Option<&str>| id.map(ToOwned::to_owned);
        self.services.push_rules.put(caller, rule(id), owned(after), owned(before)).await
    }

    async fn content_rules(&self, caller: &Caller) -> Vec<String> {
        let rules = self.services.push_rules.of(caller).await.unwrap();
        let own = rules.content.iter().filter(|rule| !rule.default);
        own.map(|rule| rule.rule_id.clone()).collect()
    }
}

#[tokio::test]
async fn a_user_starts_with_the_servers_rules_of_every_kind() {
    let world = World::new();
    let alice = world.user("alice").await;
    let rules = complete(&world.services.push_rules.of(&alice).await.unwrap());
    for kind in ["override", "content", "room", "sender", "underride"] {
        assert!(rules[kind].is_array(), "{kind}");
    }
    assert_eq!(rules["override"][0]["rule_id"], ".m.rule.master");
}

#[tokio::test]
async fn a_rule_is_placed_where_the_client_wants_it() {
    let world = World::new();
    let alice = world.user("alice").await;
    world.put_rule(&alice, "one", None, None).await.unwrap();
    world.put_rule(&alice, "two", None, None).await.unwrap();
    world.put_rule(&alice, "three", Some("one"), None).await.unwrap();
    assert_eq!(world.content_rules(&alice).await, ["two", "one", "three"]);
    world.put_rule(&alice, "three", None, Some("two")).await.unwrap();
    assert_eq!(world.content_rules(&alice).await, ["three", "two", "one"]);
    let nowhere = world.put_rule(&alice, "four", Some("five"), None).await;
    assert!(matches!(nowhere, Err(PushRuleError::UnknownNeighbour)));
}

#[tokio::test]
async fn the_servers_rules_can_be_changed_but_not_removed() {
    let world = World::new();
    let alice = world.user("alice").await;
    let push_rules = &world.services.push_rules;
    let master = || (RuleKind::Override, ".m.rule.master".to_owned());
    push_rules.set_enabled(&alice, master(), true).await.unwrap();
    push_rules.set_actions(&alice, master(), vec![Action::Notify]).await.unwrap();
    let rules = push_rules.of(&alice).await.unwrap();
    let rule = rules.get(RuleKind::Override, ".m.rule.master").unwrap();
    assert!(rule.enabled());
    assert_eq!(json!(rule.actions()), json!(["notify"]));
    let removed = push_rules.remove(&alice, master().0, master().1).await;
    assert!(matches!(removed, Err(PushRuleError::ServerDefault)));
    let own = world.put_rule(&alice, ".mine", None, None).await;
    assert!(matches!(own, Err(PushRuleError::Invalid(_))));
}

#[tokio::test]
async fn a_removed_rule_is_gone() {
    let world = World::new();
    let alice = world.user("alice").await;
    world.put_rule(&alice, "one", None, None).await.unwrap();
    let push_rules = &world.services.push_rules;
    let id = || (RuleKind::Content, "one".to_owned());
    push_rules.remove(&alice, id().0, id().1).await.unwrap();
    let again = push_rules.remove(&alice, id().0, id().1).await;
    assert!(matches!(again, Err(PushRuleError::UnknownRule)));
    let enabled = push_rules.set_enabled(&alice, id(), true).await;
    assert!(matches!(enabled, Err(PushRuleError::UnknownRule)));
}

//! What a user keeps when a room is replaced: when he comes into the new room, it gets the old one's
//! push rule and tags, and is a direct chat if that one was.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#room-upgrades>

use std::sync::Arc;

use kv::{CommitError, StoreError};
use ruma::{
    OwnedRoomId, RoomId,
    push::{Action, NewPushRule, NewSimplePushRule, RuleKind},
};
use serde_json::{Map, Value};
use store::{account_data::Item, memberships};

use crate::{
    Context,
    account_data::{AccountData, AccountDataError},
    push_rules::{PushRuleError, PushRules},
    room_rows::RoomRows,
    rooms::upgrade::predecessor,
    sessions::Caller,
    tags::Tags,
};

/// Account data that lists direct chats.
const DIRECT: &str = "m.direct";

/// Why something could not be carried over.
#[derive(Debug, thiserror::Error)]
pub enum SuccessionError {
    #[error(transparent)]
    PushRule(#[from] PushRuleError),
    #[error(transparent)]
    AccountData(#[from] AccountDataError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub struct Succession {
    context: Context,
    account_data: Arc<AccountData>,
    push_rules: PushRules,
    tags: Tags,
}

impl Succession {
    pub fn new(context: Context, account_data: Arc<AccountData>) -> Self {
        let push_rules = PushRules::new(Arc::clone(&account_data));
        let tags = Tags::new(Arc::clone(&account_data));
        Self { context, account_data, push_rules, tags }
    }

    /// The user has come into the room. Nothing happens unless it replaces one that he knows.
    pub async fn carry_over(
        &self,
        caller: &Caller,
        room_id: &RoomId,
    ) -> Result<(), SuccessionError> {
        let Some(old) = self.replaced(caller, room_id).await? else { return Ok(()) };
        self.carry_push_rule(caller, &old, room_id).await?;
        for (name, tag) in self.tags.of(caller, &old).await? {
            if let Value::Object(tag) = tag {
                self.tags.set(caller, room_id, &name, tag).await?;
            }
        }
        self.carry_directness(caller, &old, room_id).await
    }

    /// The room that this one replaces, if the user has anything to do with it.
    async fn replaced(
        &self,
        caller: &Caller,
        room_id: &RoomId,
    ) -> Result<Option<OwnedRoomId>, StoreError> {
        let (room_id, localpart) = (room_id.to_owned(), caller.localpart().to_owned());
        let salt = self.context.state_salt;
        self.context
            .store
            .read(move |snapshot| {
                let Some(room) = store::rooms::number(snapshot, &room_id)? else { return Ok(None) };
                let Some(head) = store::rooms::head(snapshot, room)? else { return Ok(None) };
                let rows = RoomRows { snapshot, room, salt };
                let create = rows.state(head.state).event("m.room.create", "")?;
                let Some(old) = create.and_then(|create| predecessor(&create.pdu)) else {
                    return Ok(None);
                };
                let Some(room) = store::rooms::number(snapshot, &old)? else { return Ok(None) };
                Ok(memberships::get(snapshot, &localpart, room)?.map(|_| old))
            })
            .await
    }

    async fn carry_push_rule(
        &self,
        caller: &Caller,
        old: &RoomId,
        new: &RoomId,
    ) -> Result<(), PushRuleError> {
        let rules = self.push_rules.of(caller).await?;
        let of = |room: &RoomId| rules.room.iter().find(|rule| rule.rule_id == room);
        let (Some(rule), None) = (of(old), of(new)) else { return Ok(()) };
        let actions: Vec<Action> = rule.actions.clone();
        let copy = NewPushRule::Room(NewSimplePushRule::new(new.to_owned(), actions));
        self.push_rules.put(caller, copy, None, None).await?;
        if !rule.enabled {
            let id = (RuleKind::Room, new.to_string());
            self.push_rules.set_enabled(caller, id, false).await?;
        }
        Ok(())
    }

    async fn carry_directness(
        &self,
        caller: &Caller,
        old: &RoomId,
        new: &RoomId,
    ) -> Result<(), SuccessionError> {
        let direct = self.account_data.get(caller, None, DIRECT).await?;
        let is_direct = |direct: &[u8]| lists(direct, old) && !lists(direct, new);
        if !direct.is_some_and(|direct| is_direct(&direct)) {
            return Ok(());
        }
        let (old, new) = (old.to_string(), new.to_string());
        let amend = move |item: Option<&Item>| {
            let content = item.map_or(&b"{}"[..], |item| &item.content);
            let mut direct: Map<String, Value> =
                serde_json::from_slice(content).unwrap_or_default();
            for rooms in direct.values_mut().filter_map(Value::as_array_mut) {
                let is = |id: &String| rooms.iter().any(|room| room == id);
                if is(&old) && !is(&new) {
                    rooms.push(new.clone().into());
                }
            }
            Ok::<_, SuccessionError>(((), Value::Object(direct).to_string()))
        };
        self.account_data.amend(caller, (None, DIRECT), amend).await
    }
}

/// Whether a content of `m.direct` lists the room.
fn lists(content: &[u8], room: &RoomId) -> bool {
    let direct: Map<String, Value> = serde_json::from_slice(content).unwrap_or_default();
    let mut rooms = direct.values().filter_map(Value::as_array).flatten();
    rooms.any(|listed| listed == room.as_str())
}

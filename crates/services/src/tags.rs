//! Tags: how a user sorts his rooms. They are the room's account data of type `m.tag`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#room-tagging>

use std::sync::Arc;

use ruma::RoomId;
use serde_json::{Map, Value, json};
use store::account_data::Item;

use crate::{
    account_data::{AccountData, AccountDataError},
    sessions::Caller,
};

#[cfg(test)]
mod tests;

const KIND: &str = "m.tag";
/// Bytes of a tag's name.
const NAME_BYTES_MAX: usize = 255;

pub struct Tags {
    account_data: Arc<AccountData>,
}

impl Tags {
    pub fn new(account_data: Arc<AccountData>) -> Self {
        Self { account_data }
    }

    /// The tags by name, each with its JSON object (its `order`).
    pub async fn of(
        &self,
        caller: &Caller,
        room: &RoomId,
    ) -> Result<Map<String, Value>, AccountDataError> {
        let content = self.account_data.get(caller, Some(room), KIND).await?;
        Ok(content.map(|content| parse(&content)).unwrap_or_default())
    }

    pub async fn set(
        &self,
        caller: &Caller,
        room: &RoomId,
        name: &str,
        tag: Map<String, Value>,
    ) -> Result<(), AccountDataError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(AccountDataError::LongType);
        }
        let name = name.to_owned();
        self.amend(caller, room, move |tags| {
            tags.insert(name.clone(), Value::Object(tag.clone()));
        })
        .await
    }

    pub async fn remove(
        &self,
        caller: &Caller,
        room: &RoomId,
        name: &str,
    ) -> Result<(), AccountDataError> {
        let name = name.to_owned();
        self.amend(caller, room, move |tags| {
            tags.remove(&name);
        })
        .await
    }

    async fn amend(
        &self,
        caller: &Caller,
        room: &RoomId,
        amend: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static,
    ) -> Result<(), AccountDataError> {
        let amend = move |old: Option<&Item>| {
            let mut tags = old.map(|old| parse(&old.content)).unwrap_or_default();
            amend(&mut tags);
            Ok(((), json!({ "tags": tags }).to_string()))
        };
        self.account_data.amend(caller, (Some(room.to_owned()), KIND), amend).await
    }
}

/// Clients can write the whole content as account data: what is no tag is not taken for one.
fn parse(content: &[u8]) -> Map<String, Value> {
    let mut content: Map<String, Value> = serde_json::from_slice(content).unwrap_or_default();
    let Some(Value::Object(mut tags)) = content.remove("tags") else { return Map::new() };
    tags.retain(|_, tag| tag.is_object());
    tags
}

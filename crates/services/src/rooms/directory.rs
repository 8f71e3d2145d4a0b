//! Aliases of this homeserver, and its list of published rooms.

use kv::StoreError;
use model::build::EventTemplate;
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, UserId};
use serde_json::{Map, Value};
use store::aliases::{self, Alias};

use super::{Draft, Rooms, WriteError, create::raw, remote::RemoteError};

/// The alias names a room already.
pub(super) const ALIAS_IN_USE: &str = "the alias is taken";
const NOT_YOURS: &str = "only its creator, or who may send m.room.canonical_alias, may do that";
const NO_SUCH_ALIAS: &str = "there is no such alias";

/// Why an alias cannot be called one of the room's.
#[derive(Debug, thiserror::Error)]
pub enum AliasError {
    #[error("that is no alias")]
    Invalid,
    #[error("the alias does not point to the room")]
    PointsElsewhere,
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Every alias that the content of an `m.room.canonical_alias` names.
fn aliases_of(content: &Map<String, Value>) -> Vec<String> {
    let alternatives = content.get("alt_aliases").and_then(Value::as_array);
    let alternatives = alternatives.into_iter().flatten();
    let all = content.get("alias").into_iter().chain(alternatives);
    all.filter_map(Value::as_str).filter(|alias| !alias.is_empty()).map(str::to_owned).collect()
}

/// Lets the alias point to the draft's room, with the draft's commit.
pub(super) fn claim(
    draft: &mut Draft<'_>,
    alias: &RoomAliasId,
    creator: &UserId,
) -> Result<(), WriteError> {
    if aliases::get(draft.rows()?.snapshot, alias.alias())?.is_some() {
        return Err(WriteError::Refused(ALIAS_IN_USE));
    }
    let room = draft.drafted.room;
    let row =
        Alias { room_id: draft.drafted.room_id.to_string(), room, creator: creator.to_string() };
    aliases::put(&mut draft.drafted.batch, alias.alias(), &row);
    Ok(())
}

/// Lists the draft's room in the directory, or no longer.
pub(super) fn publish(draft: &mut Draft<'_>, published: bool) {
    aliases::set_published(&mut draft.drafted.batch, draft.drafted.room, published);
}

impl Draft<'_> {
    /// Takes an alias out of the room's `m.room.canonical_alias`, if it is there.
    fn no_longer_call(&mut self, user: &UserId, alias: &RoomAliasId) -> Result<(), WriteError> {
        let Some(current) = self.state("m.room.canonical_alias", "")? else { return Ok(()) };
        let before: Map<String, Value> = current.pdu.content_as().unwrap_or_default();
        let mut content = before.clone();
        let is_it = |value: &Value| value.as_str() == Some(alias.as_str());
        if content.get("alias").is_some_and(is_it) {
            content.remove("alias");
        }
        if let Some(Value::Array(alternatives)) = content.get_mut("alt_aliases") {
            alternatives.retain(|alternative| !is_it(alternative));
            if alternatives.is_empty() {
                content.remove("alt_aliases");
            }
        }
        if content == before {
            return Ok(());
        }
        let template = EventTemplate {
            room_id: Some(self.drafted.room_id.clone()),
            sender: user.to_owned(),
            event_type: "m.room.canonical_alias".to_owned(),
            state_key: Some(String::new()),
            content: raw(&Value::Object(content)),
            redacts: None,
            origin_server_ts: self.drafted.context.clock.now_ms(),
        };
        self.append(template, None).map(drop)
    }
}

impl Rooms {
    /// The room that a local alias points to.
    pub async fn local_alias(
        &self,
        alias: &RoomAliasId,
    ) -> Result<Option<OwnedRoomId>, StoreError> {
        let alias = alias.alias().to_owned();
        let found = self.context().store.read(move |rows| aliases::get(rows, &alias)).await?;
        Ok(found.and_then(|alias| RoomId::parse(alias.room_id).ok()))
    }

    /// The room that an alias of any homeserver points to, and servers that are in it.
    pub async fn resolve_alias(
        &self,
        alias: &RoomAliasId,
    ) -> Result<Option<(OwnedRoomId, Vec<OwnedServerName>)>, RemoteError> {
        if alias.server_name() != self.context().server_name {
            return self.remote()?.alias(alias).await;
        }
        let room_id = self.local_alias(alias).await;
        let room_id = room_id.map_err(|_| RemoteError::Unreachable)?;
        Ok(room_id.map(|room_id| (room_id, vec![self.context().server_name.clone()])))
    }

    /// The aliases that a new `m.room.canonical_alias` adds must point to the room.
    pub async fn check_canonical_alias(
        &self,
        room_id: &RoomId,
        content: &Map<String, Value>,
    ) -> Result<(), AliasError> {
        let room = self.get(room_id).await?;
        let current = self.read(room.number, |rows| {
            let head = store::rooms::head(rows.snapshot, rows.room)?;
            let Some(head) = head else { return Ok(None) };
            rows.state(head.state).event("m.room.canonical_alias", "")
        });
        let current = current.await.map_err(WriteError::from)?;
        let current: Map<String, Value> =
            current.and_then(|event| event.pdu.content_as()).unwrap_or_default();
        let known = aliases_of(&current);
        for alias in aliases_of(content) {
            if known.contains(&alias) {
                continue;
            }
            let alias = RoomAliasId::parse(&alias).map_err(|_| AliasError::Invalid)?;
            let found = self.resolve_alias(&alias).await;
            if !found.is_ok_and(|found| found.is_some_and(|(found, _)| found == room_id)) {
                return Err(AliasError::PointsElsewhere);
            }
        }
        Ok(())
    }

    /// Lets a free alias of this homeserver point to a room that a joined user names.
    pub async fn add_alias(
        &self,
        alias: OwnedRoomAliasId,
        room_id: &RoomId,
        user: &UserId,
    ) -> Result<(), WriteError> {
        let room = self.get(room_id).await?;
        let user = user.to_owned();
        let adding = self.write(&room, move |draft| {
            draft.require_joined(&user)?;
            claim(draft, &alias, &user)
        });
        adding.await.map(drop)
    }

    /// Removes a local alias: its creator may, and whoever may change the room's canonical alias.
    /// The latter takes it out of `m.room.canonical_alias` too.
    pub async fn remove_alias(
        &self,
        alias: OwnedRoomAliasId,
        user: &UserId,
    ) -> Result<(), WriteError> {
        let room_id = self.local_alias(&alias).await?.ok_or(WriteError::Refused(NO_SUCH_ALIAS))?;
        let room = self.get(&room_id).await?;
        let user = user.to_owned();
        let removing = self.write(&room, move |draft| {
            let row = aliases::get(draft.rows()?.snapshot, alias.alias())?;
            let row = row.ok_or(WriteError::Refused(NO_SUCH_ALIAS))?;
            let powerful = draft.may_send_state(&user, "m.room.canonical_alias")?;
            if row.creator != user.as_str() && !powerful {
                return Err(WriteError::Refused(NOT_YOURS));
            }
            aliases::delete(&mut draft.drafted.batch, alias.alias(), row.room);
            if powerful && draft.require_joined(&user).is_ok() {
                draft.no_longer_call(&user, &alias)?;
            }
            Ok(())
        });
        removing.await.map(drop)
    }

    /// The local aliases of a room.
    pub async fn aliases(&self, room_id: &RoomId) -> Result<Vec<OwnedRoomAliasId>, WriteError> {
        let room = self.get(room_id).await?;
        let server = self.context().server_name.clone();
        let aliases =
            self.read(room.number, move |rows| aliases::of_room(rows.snapshot, rows.room));
        let full = aliases.await?.into_iter();
        Ok(full.filter_map(|a| RoomAliasId::parse(format!("#{a}:{server}")).ok()).collect())
    }

    /// Lists a room in the directory, or no longer, if the user may change its canonical alias.
    pub async fn set_published(
        &self,
        room_id: &RoomId,
        user: &UserId,
        published: bool,
    ) -> Result<(), WriteError> {
        let room = self.get(room_id).await?;
        let user = user.to_owned();
        let publishing = self.write(&room, move |draft| {
            draft.require_joined(&user)?;
            if !draft.may_send_state(&user, "m.room.canonical_alias")? {
                return Err(WriteError::Refused(NOT_YOURS));
            }
            publish(draft, published);
            Ok(())
        });
        publishing.await.map(drop)
    }

    pub async fn is_published(&self, room_id: &RoomId) -> Result<bool, WriteError> {
        let room = self.get(room_id).await?;
        let published =
            |rows: crate::room_rows::RoomRows<'_>| aliases::is_published(rows.snapshot, rows.room);
        Ok(self.read(room.number, published).await?)
    }
}

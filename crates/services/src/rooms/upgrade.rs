//! Replacing a room by one of another version.
//!
//! The new room is whole before the old one points to it: who follows a tombstone finds a room.
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#room-upgrades>.

use model::{
    build::EventTemplate,
    membership::Membership,
    room_version::RoomVersion,
    state_tree::{NodeId, StateTree},
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Map, Value, json};
use store::aliases::{self, Alias};

use super::{
    Draft, Room, Rooms, WriteError,
    create::{CreateError, NewRoom, Preset, raw},
};
use crate::room_rows::{Event, RoomRows};

/// What shall replace a room.
#[derive(Clone, Debug)]
pub struct Upgrade {
    pub room_id: OwnedRoomId,
    pub version: RoomVersion,
    pub user: OwnedUserId,
    /// Since version 12: who else has infinite power in the new room.
    pub additional_creators: Vec<OwnedUserId>,
}

/// "Replicates transferable state events to the new room": those with an empty state key.
const TRANSFERRED: [&str; 8] = [
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
];
const POWER_LEVELS: &str = "m.room.power_levels";
const CANONICAL_ALIAS: &str = "m.room.canonical_alias";
/// Links of a space, and bans, that are carried over.
const LINKS_MAX: usize = 1_000;
const BANS_MAX: usize = 1_000;
/// What it takes to replace a room of version 12, so that only its creators may.
const TOMBSTONE_POWER: i64 = 150;

/// What is known of the room that is replaced.
struct Old {
    create: Map<String, Value>,
    state: Vec<(String, String, Value)>,
    power_levels: Option<Map<String, Value>>,
    canonical_alias: Option<Value>,
    aliases: Vec<(String, Alias)>,
    published: bool,
    newest: Option<String>,
}

impl Rooms {
    /// Replaces the room, if the user may put a tombstone on it; answers the new room's id.
    pub async fn upgrade(&self, upgrade: Upgrade) -> Result<OwnedRoomId, CreateError> {
        let Upgrade { room_id, version, user, additional_creators } = upgrade;
        let room = self.get(&room_id).await?;
        let who = user.clone();
        let checking = self.write(&room, move |draft| draft.require_may_replace(&who));
        checking.await?;
        let old = self.read(room.number, Old::read).await.map_err(WriteError::from)?;
        let new = NewRoom {
            creator_profile: self.profile_of(&user).await.map_err(WriteError::from)?,
            creation_content: old.creation_content(&room_id, version, &additional_creators),
            initial_state: old.initial_state(version, &user, &additional_creators),
            published: old.published,
            ..NewRoom::new(user.clone(), version, Preset::Nothing)
        };
        let replacement = self.create(new).await?;
        self.take_names(&replacement, &user, old).await?;
        self.bury(&room, &user, &replacement).await?;
        Ok(replacement)
    }

    /// The aliases lead to the new room from now on.
    async fn take_names(
        &self,
        replacement: &RoomId,
        user: &UserId,
        old: Old,
    ) -> Result<(), WriteError> {
        let room = self.get(replacement).await?;
        let user = user.to_owned();
        let Old { aliases: names, canonical_alias, .. } = old;
        let taking = self.write(&room, move |draft| {
            for (alias, row) in &names {
                let (room, room_id) = (draft.drafted.room, draft.drafted.room_id.to_string());
                let new = Alias { room_id, room, creator: row.creator.clone() };
                aliases::retarget(&mut draft.drafted.batch, alias, row, &new);
            }
            match &canonical_alias {
                Some(content) => draft.append_by(&user, CANONICAL_ALIAS, content),
                None => Ok(()),
            }
        });
        taking.await.map(drop)
    }

    /// Puts the tombstone on the old room, and silences it as far as the user may.
    async fn bury(
        &self,
        room: &std::sync::Arc<Room>,
        user: &UserId,
        replacement: &RoomId,
    ) -> Result<(), WriteError> {
        let (user, replacement) = (user.to_owned(), replacement.to_owned());
        let burying = self.write(room, move |draft| {
            let body = "This room has been replaced";
            let content = json!({ "body": body, "replacement_room": replacement });
            draft.append_by(&user, "m.room.tombstone", &content)?;
            if draft.state(CANONICAL_ALIAS, "")?.is_some() {
                pass_over(draft.append_by(&user, CANONICAL_ALIAS, &json!({})))?;
            }
            if let Some(levels) = draft.state(POWER_LEVELS, "")? {
                let mut levels: Map<String, Value> = levels.pdu.content_as().unwrap_or_default();
                let usual = level(&levels, "users_default", 0);
                for action in ["events_default", "invite"] {
                    let needed = level(&levels, action, 0).max(usual + 1).max(50);
                    levels.insert(action.to_owned(), needed.into());
                }
                pass_over(draft.append_by(&user, POWER_LEVELS, &Value::Object(levels)))?;
            }
            super::directory::publish(draft, false);
            Ok(())
        });
        burying.await.map(drop)
    }
}

/// What the user has no power for is left as it is.
fn pass_over(done: Result<(), WriteError>) -> Result<(), WriteError> {
    match done {
        Err(WriteError::Forbidden(_)) => Ok(()),
        done => done,
    }
}

fn level(levels: &Map<String, Value>, name: &str, default: i64) -> i64 {
    levels.get(name).and_then(Value::as_i64).unwrap_or(default)
}

impl Draft<'_> {
    fn require_may_replace(&mut self, user: &UserId) -> Result<(), WriteError> {
        self.require_joined(user)?;
        if self.may_send_state(user, "m.room.tombstone")? {
            return Ok(());
        }
        Err(WriteError::Refused("you may not replace the room"))
    }

    fn append_by(
        &mut self,
        user: &UserId,
        event_type: &str,
        content: &Value,
    ) -> Result<(), WriteError> {
        let template = EventTemplate {
            room_id: Some(self.drafted.room_id.clone()),
            sender: user.to_owned(),
            event_type: event_type.to_owned(),
            state_key: Some(String::new()),
            content: raw(content),
            redacts: None,
            origin_server_ts: self.drafted.context.clock.now_ms(),
        };
        self.append(template, None).map(drop)
    }
}

impl Old {
    fn read(rows: RoomRows<'_>) -> Result<Self, kv::StoreError> {
        let head = store::rooms::head(rows.snapshot, rows.room)?;
        let head = head.ok_or_else(|| store::value::corrupt("room without a head"))?;
        let state = rows.state(head.state);
        let content = |event_type: &str| -> Result<Option<Value>, kv::StoreError> {
            Ok(state.event(event_type, "")?.and_then(|event| event.pdu.content_as()))
        };
        let mut transferred = Vec::new();
        for event_type in TRANSFERRED {
            let found = content(event_type)?;
            transferred.extend(found.map(|found| (event_type.to_owned(), String::new(), found)));
        }
        let create = content("m.room.create")?;
        if create.as_ref().is_some_and(|create| create["type"] == "m.space") {
            let links = keyed(rows, head.state, "m.space.child", LINKS_MAX, |_| true)?;
            transferred.extend(links.iter().filter_map(transferable));
        }
        let bans = keyed(rows, head.state, "m.room.member", BANS_MAX, |membership| {
            membership == Some(Membership::Ban)
        })?;
        transferred.extend(bans.iter().filter_map(transferable));
        let object = |value: Value| match value {
            Value::Object(object) => Some(object),
            _ => None,
        };
        let mut names = Vec::new();
        for alias in aliases::of_room(rows.snapshot, rows.room)? {
            let row = aliases::get(rows.snapshot, &alias)?;
            names.extend(row.map(|row| (alias, row)));
        }
        Ok(Self {
            create: create.and_then(object).unwrap_or_default(),
            state: transferred,
            power_levels: content(POWER_LEVELS)?.and_then(object),
            canonical_alias: content(CANONICAL_ALIAS)?,
            aliases: names,
            published: aliases::is_published(rows.snapshot, rows.room)?,
            newest: head.extremities.last().map(|newest| newest.event_id.clone()),
        })
    }

    fn creation_content(
        &self,
        room_id: &RoomId,
        version: RoomVersion,
        additional_creators: &[OwnedUserId],
    ) -> Map<String, Value> {
        let mut content = self.create.clone();
        for field in ["creator", "room_version", "additional_creators", "predecessor"] {
            content.remove(field);
        }
        let mut predecessor = json!({ "room_id": room_id });
        if !version.room_id_is_create_hash() {
            predecessor["event_id"] = json!(self.newest);
        } else if !additional_creators.is_empty() {
            content.insert("additional_creators".to_owned(), json!(additional_creators));
        }
        content.insert("predecessor".to_owned(), predecessor);
        content
    }

    /// The power levels come last: until then the creator can do everything.
    fn initial_state(
        &self,
        version: RoomVersion,
        user: &UserId,
        additional_creators: &[OwnedUserId],
    ) -> Vec<(String, String, Value)> {
        let mut state = self.state.clone();
        let Some(mut levels) = self.power_levels.clone() else { return state };
        if version.room_id_is_create_hash() {
            if let Some(Value::Object(users)) = levels.get_mut("users") {
                // Since v12 the power levels must not name creators.
                users.remove(user.as_str());
                additional_creators.iter().for_each(|creator| drop(users.remove(creator.as_str())));
            }
            if let Value::Object(events) = levels.entry("events").or_insert_with(|| json!({})) {
                let tombstone = level(events, "m.room.tombstone", 0).max(TOMBSTONE_POWER);
                events.insert("m.room.tombstone".to_owned(), tombstone.into());
            }
        }
        state.push((POWER_LEVELS.to_owned(), String::new(), Value::Object(levels)));
        state
    }
}

/// The state events of a type, at most so many of those whose membership is wanted.
fn keyed(
    rows: RoomRows<'_>,
    root: NodeId,
    event_type: &str,
    max: usize,
    wanted: impl Fn(Option<Membership>) -> bool,
) -> Result<Vec<Event>, kv::StoreError> {
    let mut numbers = Vec::new();
    for item in StateTree::new(rows.salt).entries_of_type(&rows, root, event_type) {
        let entry = item?.entry;
        if wanted(entry.membership) {
            numbers.push(entry.event);
        }
        if numbers.len() == max {
            break;
        }
    }
    rows.events(&numbers)
}

fn transferable(event: &Event) -> Option<(String, String, Value)> {
    let key = event.pdu.state_key.clone()?;
    Some((event.pdu.event_type.to_string(), key.to_string(), event.pdu.content_as()?))
}

/// The room that a room replaces, as its create event says.
pub fn predecessor(create: &model::pdu::Pdu) -> Option<OwnedRoomId> {
    let content: Value = create.content_as()?;
    RoomId::parse(content["predecessor"]["room_id"].as_str()?).ok()
}

//! Creating a room: all its first events are one commit, so a room is whole or not there.

use std::sync::Arc;

use model::{
    build::{self, EventTemplate, Place},
    pdu::Pdu,
    room_version::RoomVersion,
};
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId};
use serde_json::{Map, Value, json, value::RawValue};

use super::{Draft, Room, Rooms, WriteError, directory};

/// What a new room shall be.
#[derive(Clone, Debug)]
pub struct NewRoom {
    pub creator: OwnedUserId,
    pub version: RoomVersion,
    pub preset: Preset,
    /// Keys that are added to the create event's content.
    pub creation_content: Map<String, Value>,
    /// What the creator's member event says besides the membership (display name, avatar).
    pub creator_profile: Map<String, Value>,
    /// (type, state key, content), after the preset's and before name and topic.
    pub initial_state: Vec<(String, String, Value)>,
    pub name: Option<String>,
    pub topic: Option<String>,
    /// Keys that replace those of the default power levels.
    pub power_levels: Map<String, Value>,
    /// A free alias of this homeserver.
    pub alias: Option<OwnedRoomAliasId>,
    /// Listed in the homeserver's directory.
    pub published: bool,
    /// Users who get the creator's power besides the invitation (`trusted_private_chat`).
    pub trusted: Vec<OwnedUserId>,
}

impl NewRoom {
    /// What its preset makes of it, and nothing else.
    pub fn new(creator: OwnedUserId, version: RoomVersion, preset: Preset) -> Self {
        Self {
            creator,
            version,
            preset,
            creation_content: Map::new(),
            creator_profile: Map::new(),
            initial_state: Vec::new(),
            name: None,
            topic: None,
            power_levels: Map::new(),
            alias: None,
            published: false,
            trusted: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    PrivateChat,
    TrustedPrivateChat,
    PublicChat,
    /// Nothing but what is asked for, as when a room is replaced.
    Nothing,
}

/// Why a room could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("the alias is taken")]
    AliasInUse,
    /// Something of the request would not make a valid room (`M_INVALID_ROOM_STATE`).
    #[error("the room's first state would not be valid: {0}")]
    InvalidState(#[source] WriteError),
    #[error("{0}")]
    BadContent(&'static str),
    #[error(transparent)]
    Write(#[from] WriteError),
}

const ROOM_EXISTS: &str = "a room with this id exists already";
/// How far the time of a create event may be off, so that rooms have different ids.
const LATER_MS_MAX: u64 = 1_000;

impl Rooms {
    /// Creates the room; invitations are sent afterwards, by the caller.
    pub async fn create(&self, new: NewRoom) -> Result<OwnedRoomId, CreateError> {
        let new = Arc::new(new);
        let mut later_ms = 0;
        loop {
            match self.create_at(&new, self.context().clock.now_ms() + later_ms).await {
                // Since version 12 the id is the hash of the create event: those of rooms that were
                // created alike in the same millisecond are told apart by their time.
                Err(CreateError::Write(WriteError::Refused(ROOM_EXISTS)))
                    if later_ms < LATER_MS_MAX =>
                {
                    later_ms += 1;
                }
                done => return done,
            }
        }
    }

    async fn create_at(&self, new: &Arc<NewRoom>, now_ms: u64) -> Result<OwnedRoomId, CreateError> {
        let create = Arc::new(self.create_event(new, now_ms)?);
        if self.find(&create.room_id).await?.is_some() {
            return Err(WriteError::Refused(ROOM_EXISTS).into());
        }
        let number = self.new_number().await.map_err(WriteError::from)?;
        let room = self.opened(Room::new(number, create.room_id.clone(), new.version));
        let room_id = room.id.clone();
        let new = Arc::clone(new);
        let written = self
            .write(&room, move |draft| {
                if draft.exists() {
                    return Err(WriteError::Refused(ROOM_EXISTS));
                }
                draft.append_create(&create)?;
                first_events(draft, &new)
            })
            .await;
        match written {
            Ok(_) => Ok(room_id),
            Err(error) => {
                self.forget_opened(&room_id);
                Err(match error {
                    WriteError::Commit(kv::CommitError::Precondition(_)) => CreateError::AliasInUse,
                    WriteError::Refused(directory::ALIAS_IN_USE) => CreateError::AliasInUse,
                    WriteError::Forbidden(_) | WriteError::Build(_) => {
                        CreateError::InvalidState(error)
                    }
                    other => other.into(),
                })
            }
        }
    }

    fn create_event(&self, new: &NewRoom, now_ms: u64) -> Result<Pdu, CreateError> {
        let context = self.context();
        let mut content = new.creation_content.clone();
        content.insert("room_version".to_owned(), new.version.as_str().into());
        // Up to version 10 the creator is named; from version 11 on it is the sender.
        if new.version < RoomVersion::V11 {
            content.insert("creator".to_owned(), new.creator.as_str().into());
        } else {
            content.remove("creator");
        }
        let trusts = new.preset == Preset::TrustedPrivateChat && !new.trusted.is_empty();
        if new.version.room_id_is_create_hash() && trusts {
            // Since version 12 the power of creators cannot be given by power levels.
            let mut creators: Vec<Value> = match content.remove("additional_creators") {
                Some(Value::Array(creators)) => creators,
                _ => Vec::new(),
            };
            let trusted = new.trusted.iter().map(|user| Value::from(user.as_str()));
            creators.extend(trusted.filter(|user| !creators.contains(user)).collect::<Vec<_>>());
            content.insert("additional_creators".to_owned(), creators.into());
        }
        let room_id = if new.version.room_id_is_create_hash() {
            None
        } else {
            Some(context.ids.room_id(&context.server_name))
        };
        let template = EventTemplate {
            room_id,
            sender: new.creator.clone(),
            event_type: "m.room.create".to_owned(),
            state_key: Some(String::new()),
            content: raw(&Value::Object(content)),
            redacts: None,
            origin_server_ts: now_ms,
        };
        let place = Place { depth: 1, ..Place::default() };
        let key = &context.signing_key.current();
        build::build_and_sign(&template, &place, new.version, &context.server_name, key)
            .map_err(|error| CreateError::InvalidState(error.into()))
    }
}

/// Everything after the create event, in the order that the specification gives
/// ("POST /createRoom", client-server API).
fn first_events(draft: &mut Draft<'_>, new: &NewRoom) -> Result<(), WriteError> {
    let mut member = new.creator_profile.clone();
    member.insert("membership".to_owned(), "join".into());
    let creator = new.creator.as_str();
    append_state(draft, new, "m.room.member", creator, &Value::Object(member))?;
    append_state(draft, new, "m.room.power_levels", "", &power_levels(new))?;
    if let Some(alias) = &new.alias {
        directory::claim(draft, alias, &new.creator)?;
        append_state(draft, new, "m.room.canonical_alias", "", &json!({ "alias": alias }))?;
    }
    for (event_type, content) in preset_state(new.preset) {
        let overridden =
            new.initial_state.iter().any(|(t, key, _)| t == event_type && key.is_empty());
        if !overridden {
            append_state(draft, new, event_type, "", &content)?;
        }
    }
    for (event_type, key, content) in &new.initial_state {
        append_state(draft, new, event_type, key, content)?;
    }
    if let Some(name) = &new.name {
        append_state(draft, new, "m.room.name", "", &json!({ "name": name }))?;
    }
    if let Some(topic) = &new.topic {
        let text = json!({ "m.text": [{ "body": topic, "mimetype": "text/plain" }] });
        let content = json!({ "topic": topic, "m.topic": text });
        append_state(draft, new, "m.room.topic", "", &content)?;
    }
    if new.published {
        directory::publish(draft, true);
    }
    Ok(())
}

fn append_state(
    draft: &mut Draft<'_>,
    new: &NewRoom,
    event_type: &str,
    state_key: &str,
    content: &Value,
) -> Result<(), WriteError> {
    let template = EventTemplate {
        room_id: Some(draft.drafted.room_id.clone()),
        sender: new.creator.clone(),
        event_type: event_type.to_owned(),
        state_key: Some(state_key.to_owned()),
        content: raw(content),
        redacts: None,
        origin_server_ts: draft.drafted.context.clock.now_ms(),
    };
    draft.append(template, None).map(drop)
}

fn power_levels(new: &NewRoom) -> Value {
    let mut users = Map::new();
    // Since version 12 creators have infinite power and must not be listed.
    if !new.version.room_id_is_create_hash() {
        users.insert(new.creator.to_string(), 100.into());
        if new.preset == Preset::TrustedPrivateChat {
            users.extend(new.trusted.iter().map(|user| (user.to_string(), 100.into())));
        }
    }
    let tombstone = if new.version.room_id_is_create_hash() { 150 } else { 100 };
    let mut content = json!({
        "ban": 50,
        "events": {
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.encryption": 100,
            "m.room.history_visibility": 100,
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": tombstone,
        },
        "events_default": 0,
        "invite": if new.preset == Preset::PublicChat { 50 } else { 0 },
        "kick": 50,
        "notifications": { "room": 50 },
        "redact": 50,
        "state_default": 50,
        "users": users,
        "users_default": 0,
    });
    if let Value::Object(content) = &mut content {
        content.extend(new.power_levels.clone());
    }
    content
}

/// Table of presets, "POST /createRoom". Guests are forbidden in public rooms without an event that
/// says so.
fn preset_state(preset: Preset) -> Vec<(&'static str, Value)> {
    let (join_rule, guests_can_join) = match preset {
        Preset::PrivateChat | Preset::TrustedPrivateChat => ("invite", true),
        Preset::PublicChat => ("public", false),
        Preset::Nothing => return Vec::new(),
    };
    let mut state = vec![
        ("m.room.join_rules", json!({ "join_rule": join_rule })),
        ("m.room.history_visibility", json!({ "history_visibility": "shared" })),
    ];
    if guests_can_join {
        state.push(("m.room.guest_access", json!({ "guest_access": "can_join" })));
    }
    state
}

pub(super) fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("a JSON value is always JSON text")
}

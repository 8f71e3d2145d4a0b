//! `POST /createRoom`.

use axum::Extension;
use model::room_version::{RoomVersion, UnsupportedRoomVersion};
use ruma::{
    RoomAliasId,
    api::client::room::{
        Visibility,
        create_room::v3::{Request, Response, RoomPreset},
    },
    events::room::member::MembershipState,
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use services::rooms::{
    create::{NewRoom, Preset},
    membership::NewMembership,
};
use web::{ErrorKind, Matrix};

use super::{appservice::may_make_alias, caller::Caller, error::Error, upgrade::carry_over};
use crate::app::{Act, App};

/// `POST /_matrix/client/v3/createRoom`
pub(crate) async fn create_room(
    Extension(app): Extension<App>,
    caller: Caller,
    Matrix(request): Matrix<Request>,
) -> Result<Matrix<Response>, Error> {
    caller.must_not_be_suspended()?;
    app.limits.act(&caller, Act::Join)?;
    if !request.invite.is_empty() {
        app.limits.act(&caller, Act::Invite)?;
    }
    let invited = request.invite.clone();
    let is_direct = request.is_direct;
    let rooms = &app.services.rooms;
    let mut new = new_room(&app, &caller, request)?;
    if let Some(alias) = &new.alias {
        may_make_alias(&app, &caller, alias)?;
    }
    new.creator_profile = rooms.profile_of(&caller.user_id).await?;
    let replaces = new.creation_content.contains_key("predecessor");
    let room_id = rooms.create(new).await?;
    if replaces {
        carry_over(&app, &caller, &room_id).await;
    }
    for target in invited {
        let mut content = Map::new();
        if is_direct {
            content.insert("is_direct".to_owned(), true.into());
        }
        let new = NewMembership {
            sender: caller.user_id.clone(),
            target,
            membership: MembershipState::Invite,
            content,
        };
        // The room exists: an invitation that does not get through must not take it back.
        if let Err(error) = rooms.invite(&room_id, new).await {
            tracing::info!(%room_id, %error, "an invitation to a new room failed");
        }
    }
    Ok(Matrix(Response { room_id }))
}

fn new_room(app: &App, caller: &Caller, request: Request) -> Result<NewRoom, Error> {
    let version = match &request.room_version {
        Some(version) => version.as_str().parse().map_err(unsupported)?,
        None => app.settings.default_room_version,
    };
    let preset = match request.preset {
        Some(RoomPreset::PublicChat) => Preset::PublicChat,
        Some(RoomPreset::TrustedPrivateChat) => Preset::TrustedPrivateChat,
        Some(RoomPreset::PrivateChat) => Preset::PrivateChat,
        Some(other) => {
            return Err(web::Error::invalid_param(format!("No such preset: {other}")).into());
        }
        None if request.visibility == Visibility::Public => Preset::PublicChat,
        None => Preset::PrivateChat,
    };
    let power_levels = match &request.power_level_content_override {
        Some(content) => object(content, "power_level_content_override")?,
        None => Map::new(),
    };
    check_power_levels(&power_levels, version, caller)?;
    Ok(NewRoom {
        creator: caller.user_id.clone(),
        version,
        preset,
        creator_profile: Map::new(),
        creation_content: match &request.creation_content {
            Some(content) => object(content, "creation_content")?,
            None => Map::new(),
        },
        initial_state: initial_state(&request)?,
        name: request.name,
        topic: request.topic,
        power_levels,
        alias: request.room_alias_name.map(|name| alias(app, &name)).transpose()?,
        published: request.visibility == Visibility::Public,
        trusted: request.invite,
    })
}

fn unsupported(error: UnsupportedRoomVersion) -> Error {
    web::Error::bad_request(ErrorKind::UnsupportedRoomVersion, error.to_string()).into()
}

/// Since version 12 creators have infinite power, which cannot be said in the power levels.
fn check_power_levels(
    content: &Map<String, Value>,
    version: RoomVersion,
    caller: &Caller,
) -> Result<(), Error> {
    let names = |users: &Value| users.get(caller.user_id.as_str()).is_some();
    if version.room_id_is_create_hash() && content.get("users").is_some_and(names) {
        let message = "A room's creator must not be named in its power levels";
        return Err(web::Error::bad_request(ErrorKind::InvalidRoomState, message).into());
    }
    Ok(())
}

fn initial_state(request: &Request) -> Result<Vec<(String, String, Value)>, Error> {
    #[derive(Deserialize)]
    struct Initial {
        r#type: String,
        #[serde(default)]
        state_key: String,
        content: Value,
    }
    let read = |event: &Raw<_>| {
        let initial: Initial = serde_json::from_str(event.json().get())
            .map_err(|error| web::Error::bad_json(format!("initial_state: {error}")))?;
        if initial.r#type == "m.room.create" {
            return Err(web::Error::bad_json("initial_state must not hold m.room.create").into());
        }
        Ok((initial.r#type, initial.state_key, initial.content))
    };
    request.initial_state.iter().map(read).collect()
}

fn alias(app: &App, name: &str) -> Result<ruma::OwnedRoomAliasId, Error> {
    let valid = !name.is_empty() && !name.contains(|c: char| c == ':' || c.is_whitespace());
    let alias = RoomAliasId::parse(format!("#{name}:{}", app.services.context.server_name));
    let alias = alias.ok().filter(|_| valid);
    Ok(alias.ok_or_else(|| web::Error::invalid_param("room_alias_name is not a valid alias"))?)
}

fn object<T>(raw: &Raw<T>, field: &str) -> Result<Map<String, Value>, Error> {
    let object = serde_json::from_str(raw.json().get());
    Ok(object.map_err(|_| web::Error::bad_json(format!("{field} is not an object")))?)
}

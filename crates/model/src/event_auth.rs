//! The authorisation rules: may this event be, given what is known?
//! Specification: <https://spec.matrix.org/v1.19/server-server-api/#authorization-rules> and the
//! rules of each room version. The rules themselves are ruma's; here they get our events, and say
//! which of the three checks on receipt of a PDU failed.

use std::{collections::HashMap, fmt, sync::Arc};

use ruma::{
    OwnedRoomId, OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType},
    room::JoinRuleKind,
    state_res::{self, Event, events::RoomPowerLevelsIntField},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    build::EventTemplate,
    pdu::{self, Pdu},
    powers::Powers,
    room_version::RoomVersion,
};

#[cfg(test)]
mod tests;

/// A place of the state: type and state key.
pub type Place = (String, String);

/// Why an event is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct AuthError {
    /// The check that failed.
    pub check: AuthCheck,
    /// The rule, in words.
    pub reason: String,
}

/// The checks an event goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthCheck {
    /// Its content is not what the rules can read.
    Content,
    /// The list of its auth events, or what they allow.
    AuthEvents,
    /// What a state allows: the state before the event, or the room's current state.
    State,
}

impl AuthCheck {
    fn failed(self) -> impl Fn(String) -> AuthError {
        move |reason| AuthError { check: self, reason }
    }
}

/// The places of the state that decide about a new event: those of its auth events, and always the
/// create event's. (Since version 12 the create event is implied: it decides but must not be listed.)
/// Power levels for users who cannot exist are an error: some servers would reject them.
pub fn auth_types(template: &EventTemplate, version: RoomVersion) -> Result<Vec<Place>, AuthError> {
    let kind = TimelineEventType::from(template.event_type.as_str());
    if kind == TimelineEventType::RoomPowerLevels && pdu::names_unreadable_users(&template.content)
    {
        return Err(AuthCheck::Content.failed()("a name in `users` is no user id".to_owned()));
    }
    places(&kind, &template.sender, template.state_key.as_deref(), &template.content, version)
}

/// The places of the state that decide about an event that exists. See [`auth_types`].
pub fn auth_types_of(pdu: &Pdu) -> Result<Vec<Place>, AuthError> {
    let (kind, content) = (&pdu.kind, pdu.content());
    places(kind, &pdu.sender, pdu.state_key.as_deref(), content, pdu.room_version)
}

fn places(
    kind: &TimelineEventType,
    sender: &UserId,
    state_key: Option<&str>,
    content: &RawValue,
    version: RoomVersion,
) -> Result<Vec<Place>, AuthError> {
    let rules = &version.rules().authorization;
    let types = state_res::auth_types_for_event(kind, sender, state_key, content, rules)
        .map_err(AuthCheck::Content.failed())?;
    let mut places: Vec<Place> =
        types.into_iter().map(|(event_type, key)| (event_type.to_string(), key)).collect();
    let create: Place = ("m.room.create".to_owned(), String::new());
    if *kind != TimelineEventType::RoomCreate && !places.contains(&create) {
        places.push(create);
    }
    Ok(places)
}

/// The checks that need nothing but the event and its auth events: that these are the right ones,
/// and that they allow it. Since version 12 the create event must be among `auth_events` although
/// the event does not list it. An event that fails is rejected for good.
pub fn check_against_auth_events(pdu: &Pdu, auth_events: &[Arc<Pdu>]) -> Result<(), AuthError> {
    let rules = &pdu.room_version.rules().authorization;
    state_res::check_state_independent_auth_rules(rules, pdu, |event_id| {
        auth_events.iter().find(|event| event.event_id == *event_id).cloned()
    })
    .map_err(AuthCheck::AuthEvents.failed())?;
    let state: HashMap<(&str, &str), &Arc<Pdu>> =
        auth_events.iter().filter_map(|event| Some((event.type_and_key()?, event))).collect();
    check(pdu, |event_type, key| state.get(&(event_type, key)).map(|event| Arc::clone(event)))
        .map_err(AuthCheck::AuthEvents.failed())
}

/// The checks against a state: the state before the event (failing means rejection), or the room's
/// current state (failing means "soft failure"). `state` is asked for places of [`auth_types_of`].
pub fn check_against_state(
    pdu: &Pdu,
    state: impl Fn(&str, &str) -> Option<Arc<Pdu>>,
) -> Result<(), AuthError> {
    check(pdu, state).map_err(AuthCheck::State.failed())
}

fn check(pdu: &Pdu, state: impl Fn(&str, &str) -> Option<Arc<Pdu>>) -> Result<(), String> {
    let rules = &pdu.room_version.rules().authorization;
    state_res::check_state_dependent_auth_rules(rules, pdu, |event_type: &StateEventType, key| {
        // A rejected event allows nothing, wherever it turns up.
        let found = state(&event_type.to_string(), key).filter(|event| !event.rejected());
        let implied = *event_type == StateEventType::RoomJoinRules && key.is_empty();
        found.or_else(|| implied.then(|| Arc::new(pdu.implied_join_rules())))
    })
}

/// The rooms whose members may join, if the join rules say so (`restricted`, `knock_restricted`) and
/// the room's version knows such rules.
pub fn rooms_that_allow(join_rules: &Pdu) -> Option<Vec<OwnedRoomId>> {
    #[derive(Deserialize)]
    struct Content {
        join_rule: JoinRuleKind,
        #[serde(default)]
        allow: Vec<serde_json::Value>,
    }
    #[derive(Deserialize)]
    struct Allow {
        #[serde(rename = "type")]
        kind: String,
        room_id: OwnedRoomId,
    }
    let content: Content = join_rules.content_as()?;
    let rules = &join_rules.room_version.rules().authorization;
    let restricted = match content.join_rule {
        JoinRuleKind::Restricted => rules.restricted_join_rule,
        JoinRuleKind::KnockRestricted => rules.knock_restricted_join_rule,
        _ => false,
    };
    restricted.then(|| {
        let allow = content.allow.into_iter();
        allow
            .filter_map(|allow| serde_json::from_value::<Allow>(allow).ok())
            .filter(|allow| allow.kind == "m.room_membership")
            .map(|allow| allow.room_id)
            .collect()
    })
}

/// The users who have infinite power in a room since version 12: who created it, and whom the create
/// event names besides.
pub fn creators(create: &Pdu) -> Vec<OwnedUserId> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(default)]
        additional_creators: Vec<OwnedUserId>,
    }
    let mut creators = vec![create.sender.clone()];
    let content: Option<Content> = create.content_as();
    creators.extend(content.into_iter().flat_map(|content| content.additional_creators));
    creators
}

/// Whether the user has the power to invite.
pub fn may_invite(user: &UserId, create: &Pdu, power_levels: Option<&Pdu>) -> bool {
    Powers::new(create, power_levels).may(user, RoomPowerLevelsIntField::Invite)
}

/// Whether the user has the power to redact events of other servers.
pub fn may_redact(user: &UserId, create: &Pdu, power_levels: Option<&Pdu>) -> bool {
    Powers::new(create, power_levels).may(user, RoomPowerLevelsIntField::Redact)
}

/// Whether the user has the power to send state events of this type.
pub fn may_send_state(
    user: &UserId,
    event_type: &str,
    create: &Pdu,
    power_levels: Option<&Pdu>,
) -> bool {
    Powers::new(create, power_levels).may_send(user, event_type, true)
}

impl fmt::Display for AuthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Content => "content",
            Self::AuthEvents => "auth events",
            Self::State => "state",
        })
    }
}

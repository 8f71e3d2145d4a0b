//! Who has which power in a room: creators, power levels, and what needs how much.
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels>.

use std::collections::HashSet;

use ruma::{
    Int, OwnedUserId, UserId,
    events::room::power_levels::UserPowerLevel,
    room_version_rules::AuthorizationRules,
    state_res::events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField},
};

use crate::pdu::Pdu;

#[cfg(test)]
mod tests;

/// The powers in a room, read leniently: a malformed power levels event, which cannot be part of an
/// accepted state, gives nobody any power.
pub struct Powers<'a> {
    rules: &'static AuthorizationRules,
    creators: HashSet<OwnedUserId>,
    levels: Option<RoomPowerLevelsEvent<&'a Pdu>>,
}

/// What the creator of a room without power levels has.
const CREATOR_LEVEL: i32 = 100;
/// What is needed for `@room` and the like unless the power levels say otherwise.
const NOTIFICATION_LEVEL: i32 = 50;

impl<'a> Powers<'a> {
    /// The powers of a state with this create event and these power levels.
    pub fn new(create: &Pdu, power_levels: Option<&'a Pdu>) -> Self {
        let rules = &create.room_version.rules().authorization;
        let creators = RoomCreateEvent::new(create).creators(rules).unwrap_or_default();
        Self { rules, creators, levels: power_levels.map(RoomPowerLevelsEvent::new) }
    }

    /// The creators: the sender of the create event (or, before version 11, whom it names), and since
    /// version 12 the additional ones.
    pub fn creators(&self) -> &HashSet<OwnedUserId> {
        &self.creators
    }

    /// The power of a user. Since version 12 creators stand above every level.
    pub fn of(&self, user: &UserId) -> UserPowerLevel {
        let is_creator = self.creators.contains(user);
        if is_creator && self.rules.explicitly_privilege_room_creators {
            return UserPowerLevel::Infinite;
        }
        let level = match &self.levels {
            Some(levels) => levels.user_power_level(user, self.rules).unwrap_or(Int::MIN),
            None if is_creator => CREATOR_LEVEL.into(),
            None => RoomPowerLevelsIntField::UsersDefault.default_value(),
        };
        level.into()
    }

    /// The level that an action needs.
    pub fn needed_for(&self, action: RoomPowerLevelsIntField) -> Int {
        match &self.levels {
            Some(levels) => levels.get_as_int_or_default(action, self.rules).unwrap_or(Int::MAX),
            None => action.default_value(),
        }
    }

    /// The level that sending an event of this type needs.
    pub fn needed_to_send(&self, event_type: &str, is_state: bool) -> Int {
        let state_key = is_state.then_some("");
        let kind = crate::pdu::kind_of(event_type);
        match &self.levels {
            Some(levels) => {
                levels.event_power_level(&kind, state_key, self.rules).unwrap_or(Int::MAX)
            }
            None if is_state => RoomPowerLevelsIntField::StateDefault.default_value(),
            None => RoomPowerLevelsIntField::EventsDefault.default_value(),
        }
    }

    /// The level that notifying everybody by a keyword (`room`) needs.
    pub fn needed_to_notify(&self, key: &str) -> Int {
        let Some(levels) = &self.levels else { return NOTIFICATION_LEVEL.into() };
        match levels.notifications(self.rules) {
            Ok(keys) => {
                keys.and_then(|keys| keys.get(key).copied()).unwrap_or(NOTIFICATION_LEVEL.into())
            }
            Err(_) => Int::MAX,
        }
    }

    /// Whether the user may do it, as far as power is concerned.
    pub fn may(&self, user: &UserId, action: RoomPowerLevelsIntField) -> bool {
        self.of(user) >= self.needed_for(action)
    }

    /// Whether the user may send such events, as far as power is concerned.
    pub fn may_send(&self, user: &UserId, event_type: &str, is_state: bool) -> bool {
        self.of(user) >= self.needed_to_send(event_type, is_state)
    }
}

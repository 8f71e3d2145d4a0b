//! The room versions Kontor reads and writes: 6 to 12.
//!
//! Versions 1 to 5 are absent on purpose: they predate strict canonical JSON, so two homeservers may
//! compute different ids for one event.
//! Specification: <https://spec.matrix.org/v1.19/rooms/>.

use std::{fmt, str::FromStr};

use ruma::{
    RoomVersionId,
    room_version_rules::{RoomVersionRules, StateResolutionV2Rules},
};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// A room version that Kontor supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RoomVersion {
    /// Strict canonical JSON, `m.room.aliases` lost its special rules.
    V6,
    /// Knocking.
    V7,
    /// Restricted joins.
    V8,
    /// Redactions keep `join_authorised_via_users_server`.
    V9,
    /// Integer power levels only, `knock_restricted`.
    V10,
    /// `redacts` moved into `content`, `creator` left the create event.
    V11,
    /// The room id is the create event's hash, creators stand above power levels, state resolution
    /// 2.1.
    V12,
}

impl RoomVersion {
    /// Every supported version, oldest first.
    pub const ALL: [Self; 7] =
        [Self::V6, Self::V7, Self::V8, Self::V9, Self::V10, Self::V11, Self::V12];

    /// What a new room gets unless its creator or the configuration says otherwise.
    pub const DEFAULT: Self = Self::V12;

    /// The rules of this version, as ruma knows them.
    pub fn rules(self) -> &'static RoomVersionRules {
        match self {
            Self::V6 => &RoomVersionRules::V6,
            Self::V7 => &RoomVersionRules::V7,
            Self::V8 => &RoomVersionRules::V8,
            Self::V9 => &RoomVersionRules::V9,
            Self::V10 => &RoomVersionRules::V10,
            Self::V11 => &RoomVersionRules::V11,
            Self::V12 => &RoomVersionRules::V12,
        }
    }

    /// Which revision of state resolution 2 this version uses.
    pub fn state_resolution(self) -> StateResolutionV2Rules {
        match self {
            Self::V6 | Self::V7 | Self::V8 | Self::V9 | Self::V10 | Self::V11 => {
                StateResolutionV2Rules::V2_0
            }
            Self::V12 => StateResolutionV2Rules::V2_1,
        }
    }

    /// The version as it stands in a create event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V6 => "6",
            Self::V7 => "7",
            Self::V8 => "8",
            Self::V9 => "9",
            Self::V10 => "10",
            Self::V11 => "11",
            Self::V12 => "12",
        }
    }

    /// The version as ruma's request types want it.
    pub fn id(self) -> RoomVersionId {
        match self {
            Self::V6 => RoomVersionId::V6,
            Self::V7 => RoomVersionId::V7,
            Self::V8 => RoomVersionId::V8,
            Self::V9 => RoomVersionId::V9,
            Self::V10 => RoomVersionId::V10,
            Self::V11 => RoomVersionId::V11,
            Self::V12 => RoomVersionId::V12,
        }
    }

    /// The version as one byte of a stored record.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::V6 => 6,
            Self::V7 => 7,
            Self::V8 => 8,
            Self::V9 => 9,
            Self::V10 => 10,
            Self::V11 => 11,
            Self::V12 => 12,
        }
    }

    /// The inverse of [`Self::to_byte`].
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.to_byte() == byte)
    }

    /// Whether the room id is the hash of the create event, which then carries no `room_id` (v12).
    pub fn room_id_is_create_hash(self) -> bool {
        self.rules().authorization.room_create_event_id_as_room_id
    }

    /// Whether a redaction names its target in `content` (v11) rather than at the top level.
    pub fn redacts_in_content(self) -> bool {
        self.rules().redaction.content_field_redacts
    }
}

/// A room version that this homeserver cannot take part in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("room version {0:?} is not supported")]
pub struct UnsupportedRoomVersion(pub String);

impl FromStr for RoomVersion {
    type Err = UnsupportedRoomVersion;

    fn from_str(version: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == version)
            .ok_or_else(|| UnsupportedRoomVersion(version.to_owned()))
    }
}

impl TryFrom<&RoomVersionId> for RoomVersion {
    type Error = UnsupportedRoomVersion;

    fn try_from(id: &RoomVersionId) -> Result<Self, Self::Error> {
        id.as_str().parse()
    }
}

impl From<RoomVersion> for RoomVersionId {
    fn from(version: RoomVersion) -> Self {
        version.id()
    }
}

impl fmt::Display for RoomVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RoomVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RoomVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let version = String::deserialize(deserializer)?;
        version.parse().map_err(serde::de::Error::custom)
    }
}

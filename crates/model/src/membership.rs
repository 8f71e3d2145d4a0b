//! A user's membership in a room, as one small value.

use ruma::events::room::member::MembershipState;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The memberships that the specification knows. A member event with any other is never accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Membership {
    /// In the room.
    Join,
    /// Asked into the room.
    Invite,
    /// Out of the room, or never in it.
    Leave,
    /// Kept out of the room.
    Ban,
    /// Asking to be let in (since room version 7).
    Knock,
}

impl Membership {
    /// The membership as one byte of a stored record; never 0.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Join => 1,
            Self::Invite => 2,
            Self::Leave => 3,
            Self::Ban => 4,
            Self::Knock => 5,
        }
    }

    /// The inverse of [`Self::to_byte`].
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Join, Self::Invite, Self::Leave, Self::Ban, Self::Knock]
            .into_iter()
            .find(|membership| membership.to_byte() == byte)
    }

    /// The membership of ruma's type, unless it is a custom one.
    pub fn of(state: &MembershipState) -> Option<Self> {
        match state {
            MembershipState::Join => Some(Self::Join),
            MembershipState::Invite => Some(Self::Invite),
            MembershipState::Leave => Some(Self::Leave),
            MembershipState::Ban => Some(Self::Ban),
            MembershipState::Knock => Some(Self::Knock),
            _ => None,
        }
    }
}

impl From<Membership> for MembershipState {
    fn from(membership: Membership) -> Self {
        match membership {
            Membership::Join => Self::Join,
            Membership::Invite => Self::Invite,
            Membership::Leave => Self::Leave,
            Membership::Ban => Self::Ban,
            Membership::Knock => Self::Knock,
        }
    }
}

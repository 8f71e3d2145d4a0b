//! Matrix, as pure data and pure functions: no IO, no async, no clock, no randomness.

/// An event's number in its room: in the order in which this homeserver stored them. Local to one
/// homeserver, never sent.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct EventNumber(pub u64);

/// A room's number in its homeserver. Local to one homeserver, never sent.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct RoomNumber(pub u64);

//! Matrix, as pure data and pure functions: no IO, no async, no clock, no randomness.
//!
//! What lives here is decided by the specification alone, so every function gives the same answer
//! on every homeserver for the same arguments. Time and randomness come in through [`clock::Clock`]
//! and [`ids::Ids`].

pub mod acl;
pub mod auth_chain;
pub mod build;
pub mod canonical_json;
pub mod clock;
pub mod event_auth;
pub mod ids;
pub mod membership;
pub mod namespaces;
pub mod pdu;
pub mod policy;
pub mod powers;
pub mod redact;
pub mod room_version;
pub mod signing_key;
pub mod state_res;
pub mod state_tree;
pub mod sync_token;
pub mod verify;
pub mod visibility;

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

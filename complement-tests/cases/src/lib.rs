//! Our own conformance suite: a homeserver is a black box, and the specification says what comes out.
//!
//! A [`case::Case`] has the name of the test of Complement whose behaviour it checks. It is told as
//! a short story on a [`stage::Stage`], which lends it companies, people and [`peer::Peer`]s.
//! Nothing here knows a crate of the house.

mod areas;
mod case;
mod deviations;
mod distrust;
mod peer;
mod runner;
mod stage;
mod tap;
mod theatre;
mod words;

// The peer and what it needs are also lent to the load generator.
pub use peer::{Event, Peer, Room};
pub use runner::main;
pub use stage::Company;
pub use tap::Wire;

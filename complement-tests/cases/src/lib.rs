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

pub use runner::main;

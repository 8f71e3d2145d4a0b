//! Simulation from a seed: homeservers on a simulated network, clock and disk, while people talk,
//! quarrel and leave; and in the end everybody must have the same.
//!
//! Everything is real but the wire, the disk and the clock: rooms, signatures, the sender with its
//! pauses, the staging and judging of what arrives. A run is one thread on a clock that jumps, so
//! a seed always gives the same run. `KONTOR_SEED` runs one seed and tells it step by step,
//! `KONTOR_SEEDS` runs that many.

mod acts;
mod books;
mod check;
mod clock;
mod disk;
mod home;
mod ledger;
mod run;
mod script;
mod seeds;
mod sight;
mod trace;
mod weather;
mod wire;

//! Simulation from a seed: homeservers on a simulated network, clock and disk, while people talk,
//! quarrel and leave; and in the end everybody must have the same.
//!
//! Everything is real but the wire, the disk and the clock: rooms, signatures, the sender with its
//! pauses, the staging and judging of what arrives. A run is one thread on a clock that jumps from
//! one moment at which something happens to the next, and all chance is drawn from the seed: a seed
//! always gives the same run. Left out: HTTP connections and TLS, clients' requests (people act
//! through the services), RocksDB (`make crash`).
//!
//! At the end everything is well again, and must become right: whatever a client was told is on every
//! server that it was for; all servers in a room have the same state and the same events; lists and
//! counts say what the state says; and nobody is shown what the visibility of history forbids. What
//! the protocol cannot heal is counted and told ([`check::Counts`]).
//!
//! ```sh
//! cargo test -p simulation                                             # 500 seeds, in `make test`
//! KONTOR_SEEDS=5000 cargo test -p simulation whatever_happens          # `make simulate SEEDS=5000`
//! KONTOR_SEED=17 cargo test -p simulation whatever_happens -- --nocapture   # one, step by step
//! ```

mod acts;
mod books;
mod check;
mod clock;
mod disk;
mod eyes;
mod home;
mod ledger;
mod run;
mod script;
mod seeds;
mod sight;
mod trace;
mod weather;
mod wire;

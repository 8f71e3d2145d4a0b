//! Kontor and Synapse judge the same random rooms, event by event, and must come to the same states.
//!
//! A seed and a room version give a room: forks in which people quarrel, whose ends meet again. Both
//! servers are told its events and nothing else. Each decides which of them are rejected, and what
//! the state is wherever forks meet; Synapse's part is played by its own `event_auth` and
//! `state.v2` in Python (`oracle.py`).
//!
//! ```sh
//! cargo test --test state_resolution                               # 20 rooms a version, in `make test`
//! KONTOR_GRAPHS=1000 cargo test --test state_resolution alike      # `make resolve GRAPHS=1000`
//! KONTOR_SEED=17 cargo test --test state_resolution alike -- --nocapture   # one, with its events
//! ```

#[path = "state_resolution/compare.rs"]
mod compare;
#[path = "state_resolution/deeds.rs"]
mod deeds;
#[path = "state_resolution/history.rs"]
mod history;
#[path = "state_resolution/judge.rs"]
mod judge;
#[path = "state_resolution/oracle.rs"]
mod oracle;
#[path = "state_resolution/orders.rs"]
mod orders;
#[path = "state_resolution/sabotage.rs"]
mod sabotage;

//! Loads homeservers through their public API, and measures what that costs them.
//!
//! A [`Workload`] drives servers of one [`Target`] and comes back with [`Figure`]s; the report sets
//! the targets' figures beside each other and beside the aims. What counts are processor seconds,
//! bytes and ratios within one run: absolute times say more about a machine than about a server.
//! What goes wrong here is the end of the run, so it panics and says why.

mod aims;
mod disk;
mod figure;
mod meter;
mod person;
mod plot;
mod report;
mod room;
mod target;
mod workloads;

pub use aims::{Aim, Bound, unmeasured};
pub use figure::{Figure, Measure, Unit};
pub use plot::svg;
pub use report::{Machine, Run, markdown};
pub use target::{Bench, Scale, Target};
pub use workloads::{ALL, Workload};

//! Every workload: one kind of use each, from its preparation to its figures.

use crate::{figure::Figure, target::Bench};
use std::pin::Pin;

pub(crate) mod companies;
pub(crate) mod delivery;
pub(crate) mod fairness;
pub(crate) mod federation;
pub(crate) mod floor;
pub(crate) mod history;
pub(crate) mod large_room;
pub(crate) mod lone;
pub(crate) mod long_polls;
pub(crate) mod send;
pub(crate) mod sync;

/// A kind of use.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// How the command line calls it.
    pub name: &'static str,
    /// Starts its servers, prepares them, measures, and stops them. Nothing is left behind.
    pub run: fn(Bench) -> Running,
}

/// A workload that runs.
pub type Running = Pin<Box<dyn Future<Output = Vec<Figure>>>>;

/// All of them, in the order in which they run.
pub const ALL: &[Workload] = &[
    floor::WORKLOAD,
    send::WORKLOAD,
    lone::WORKLOAD,
    delivery::WORKLOAD,
    sync::WORKLOAD,
    large_room::WORKLOAD,
    long_polls::WORKLOAD,
    history::WORKLOAD,
    federation::WORKLOAD,
    companies::WORKLOAD,
    fairness::WORKLOAD,
];

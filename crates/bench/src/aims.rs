//! What we aim at.

use crate::{
    figure::{Figure, Measure},
    workloads::{
        companies, delivery, fairness, federation, history, large_room, lone, long_polls, send,
        sync,
    },
};

/// An aim for a measure at a size.
#[derive(Debug)]
pub struct Aim {
    /// What it is about.
    pub measure: &'static Measure,
    /// At which size; `None`: the largest that was measured (for a ratio: by both).
    pub size: Option<u64>,
    /// The aim itself.
    pub bound: Bound,
}

/// How good a figure has to be.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// So many times better than Synapse's in the same run.
    TimesBetter(f64),
    /// Not above this, in the measure's unit.
    AtMost(f64),
    /// The same cost as at another size, but for the noise of a counter of 10 ms.
    LikeAt(u64),
}

const KIB: f64 = 1_024.0;
const MIB: f64 = 1_024.0 * KIB;
/// What "the same cost" may differ by.
const SAME: f64 = 1.3;

/// All of them.
pub(crate) static AIMS: [Aim; 28] = [
    aim(&send::CPU, Some(8), Bound::TimesBetter(90.0)),
    aim(&send::RATE, Some(8), Bound::TimesBetter(55.0)),
    aim(&send::RATE, Some(64), Bound::TimesBetter(130.0)),
    aim(&lone::OVER, None, Bound::AtMost(0.3)),
    aim(&delivery::OVER, None, Bound::AtMost(1.0)),
    aim(&delivery::LOST_WAKE_UPS, None, Bound::AtMost(0.0)),
    aim(&sync::INITIAL_CPU, Some(210), Bound::TimesBetter(60.0)),
    aim(&sync::CHANGE_CPU, None, Bound::LikeAt(10)),
    aim(&history::PAGE_CPU, None, Bound::TimesBetter(120.0)),
    aim(&large_room::JOIN_CPU, None, Bound::TimesBetter(50.0)),
    aim(&large_room::JOIN_CPU, None, Bound::LikeAt(100)),
    aim(&large_room::SEND_CPU, None, Bound::TimesBetter(200.0)),
    aim(&companies::IDLE, None, Bound::AtMost(25.0 * MIB)),
    aim(&companies::FURTHER, None, Bound::AtMost(MIB)),
    aim(&long_polls::MEMORY, None, Bound::AtMost(8.0 * KIB)),
    aim(&companies::START, Some(1), Bound::AtMost(100.0)),
    aim(&companies::START, Some(1_000), Bound::AtMost(1_000.0)),
    aim(&companies::START_ALL, Some(1_000), Bound::AtMost(1_000.0)),
    aim(&history::DISK, None, Bound::AtMost(1_000.0)),
    aim(&history::SEND_CPU, None, Bound::LikeAt(10_000)),
    aim(&federation::RATE, None, Bound::TimesBetter(30.0)),
    aim(&federation::CPU, None, Bound::TimesBetter(30.0)),
    aim(&fairness::WRITER.send, None, Bound::AtMost(2.0)),
    aim(&fairness::WRITER.sync, None, Bound::AtMost(2.0)),
    aim(&fairness::SILENT_PEER.send, None, Bound::AtMost(2.0)),
    aim(&fairness::SILENT_PEER.sync, None, Bound::AtMost(2.0)),
    aim(&fairness::FLOOD.send, None, Bound::AtMost(2.0)),
    aim(&fairness::FLOOD.sync, None, Bound::AtMost(2.0)),
];

const fn aim(measure: &'static Measure, size: Option<u64>, bound: Bound) -> Aim {
    Aim { measure, size, bound }
}

/// An aim beside what was measured.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) size: u64,
    pub(crate) ours: f64,
    pub(crate) theirs: Option<f64>,
    /// `None`: this run cannot tell.
    pub(crate) reached: Option<bool>,
}

impl Aim {
    /// What became of it; `None` if it was not measured at all.
    pub(crate) fn outcome(&self, ours: &[Figure], theirs: &[Figure]) -> Option<Outcome> {
        let compared = matches!(self.bound, Bound::TimesBetter(_)) && !theirs.is_empty();
        let size = self.size.or_else(|| {
            let sizes = ours.iter().filter(|figure| figure.measure == self.measure);
            let sizes = sizes.map(|figure| figure.size);
            let both = |size: &u64| !compared || value(theirs, self.measure, *size).is_some();
            sizes.filter(both).max()
        });
        // Histories have other sizes for a server that takes minutes for what takes us seconds.
        let size = size.or_else(|| largest(ours, self.measure))?;
        let own = value(ours, self.measure, size)?;
        let other = value(theirs, self.measure, size).or_else(|| {
            let size = largest(theirs, self.measure)?;
            value(theirs, self.measure, size)
        });
        let reached = match self.bound {
            Bound::AtMost(most) => Some(own <= most),
            Bound::LikeAt(size) => value(ours, self.measure, size).map(|at| own <= at * SAME),
            Bound::TimesBetter(times) => {
                other.map(|other| better(self.measure, own, other) >= times)
            }
        };
        Some(Outcome { size, ours: own, theirs: other, reached })
    }
}

/// Aims about which these figures say nothing.
pub fn unmeasured(figures: &[Figure]) -> Vec<&'static str> {
    let is_measured = |aim: &&Aim| figures.iter().any(|figure| figure.measure == aim.measure);
    AIMS.iter().filter(|aim| !is_measured(aim)).map(|aim| aim.measure.title).collect()
}

/// How many times better the first value is than the second.
pub(crate) fn better(measure: &Measure, ours: f64, theirs: f64) -> f64 {
    if measure.unit.more_is_better() { ours / theirs } else { theirs / ours }
}

/// What was measured at a size.
pub(crate) fn value(figures: &[Figure], measure: &Measure, size: u64) -> Option<f64> {
    let mut found = figures.iter().filter(|f| f.measure == measure && f.size == size);
    found.next().map(|figure| figure.value)
}

fn largest(figures: &[Figure], measure: &Measure) -> Option<u64> {
    figures.iter().filter(|figure| figure.measure == measure).map(|figure| figure.size).max()
}

#[cfg(test)]
mod tests;

//! The results as a page of Markdown.

use crate::{
    aims::{AIMS, Aim, Bound, Outcome, better, value},
    figure::{Figure, Measure},
};
use std::fmt::Write;

/// Where and when, as the page's head says it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Day and minute, UTC.
    pub date: String,
    /// The commit that was measured.
    pub commit: String,
    /// Processor, memory, system.
    pub hardware: String,
}

/// What came of one target.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whose servers.
    pub target: &'static str,
    /// What is on disk when a send is acknowledged.
    pub durability: &'static str,
    /// Load of the machine just before each workload, its own work excepted.
    pub load: String,
    /// What was measured.
    pub figures: Vec<Figure>,
}

/// The page. Notes were written by a person, and follow the tables.
pub fn markdown(machine: &Machine, runs: &[Run], notes: &str) -> String {
    let mut page = String::from("# What a homeserver costs\n\n");
    let Machine { date, commit, hardware } = machine;
    let _ = writeln!(page, "Written by `kontor-bench` on {date}, commit {commit}.\n");
    let _ = writeln!(page, "- Machine: {hardware}");
    for Run { target, durability, load, .. } in runs {
        let _ = writeln!(page, "- {target}: a send is acknowledged when it is {durability}.");
        let _ = writeln!(page, "  Load before its workloads: {load}.");
    }
    page.push_str(
        "\nCPU is user and system time of the server's process. Absolute times say as much about \
         the machine\nand its other users as about a server; ratios within one run say more.\n",
    );
    let ours = figures(runs, 0);
    let theirs = figures(runs, 1);
    aims(&mut page, ours, theirs);
    everything(&mut page, runs);
    page.push_str("\n![each cost over its size](results.svg)\n");
    if !notes.is_empty() {
        page.push('\n');
        page.push_str(notes);
    }
    page
}

fn figures(runs: &[Run], nth: usize) -> &[Figure] {
    runs.get(nth).map(|run| &*run.figures).unwrap_or_default()
}

fn aims(page: &mut String, ours: &[Figure], theirs: &[Figure]) {
    page.push_str("\n## The aims\n\n");
    page.push_str(
        "| | what | aim | Kontor | Synapse | times better |\n|---|---|---|---|---|---|\n",
    );
    for aim in &AIMS {
        let Some(outcome) = aim.outcome(ours, theirs) else { continue };
        let reached = match outcome.reached {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "?",
        };
        let Aim { measure, .. } = aim;
        let other = outcome.theirs.map(|value| measure.unit.show(value)).unwrap_or_default();
        let _ = writeln!(
            page,
            "| {reached} | {} | {} | {} | {other} | {} |",
            with_size(measure, outcome.size),
            wanted(aim, ours),
            measure.unit.show(outcome.ours),
            ratio(measure, &outcome),
        );
    }
}

fn wanted(aim: &Aim, ours: &[Figure]) -> String {
    match aim.bound {
        Bound::TimesBetter(times) => format!("{times:.0} × better"),
        Bound::AtMost(most) => format!("≤ {}", aim.measure.unit.show(most)),
        Bound::LikeAt(size) => match value(ours, aim.measure, size) {
            Some(value) => format!("as at {size}: {}", aim.measure.unit.show(value)),
            None => format!("as at {size}"),
        },
    }
}

fn ratio(measure: &Measure, outcome: &Outcome) -> String {
    let other = outcome.theirs.filter(|other| *other > 0.0 && outcome.ours > 0.0);
    other.map(|other| format!("{:.1}", better(measure, outcome.ours, other))).unwrap_or_default()
}

fn everything(page: &mut String, runs: &[Run]) {
    page.push_str("\n## Everything that was measured\n\n| what |");
    for run in runs {
        let _ = write!(page, " {} |", run.target);
    }
    page.push_str(" times better |\n|---|---|");
    page.push_str(&"---|".repeat(runs.len()));
    page.push('\n');
    for (measure, size) in rows(runs) {
        let _ = write!(page, "| {} |", with_size(measure, size));
        let values = runs.iter().map(|run| value(&run.figures, measure, size));
        for value in values {
            let shown = value.map(|value| measure.unit.show(value)).unwrap_or_default();
            let _ = write!(page, " {shown} |");
        }
        let ours = value(figures(runs, 0), measure, size);
        let theirs = value(figures(runs, 1), measure, size);
        let times = ours.zip(theirs).filter(|(ours, theirs)| *ours > 0.0 && *theirs > 0.0);
        let times = times.map(|(ours, theirs)| format!("{:.1}", better(measure, ours, theirs)));
        let _ = writeln!(page, " {} |", times.unwrap_or_default());
    }
}

/// Every measure and size that some run has, those of a measure together.
fn rows(runs: &[Run]) -> Vec<(&'static Measure, u64)> {
    let mut rows: Vec<(&'static Measure, u64)> = Vec::new();
    for figure in runs.iter().flat_map(|run| &run.figures) {
        let row = (figure.measure, figure.size);
        if rows.contains(&row) {
            continue;
        }
        let at = rows.iter().rposition(|(measure, _)| *measure == figure.measure);
        rows.insert(at.map_or(rows.len(), |at| at + 1), row);
    }
    rows
}

fn with_size(measure: &Measure, size: u64) -> String {
    match measure.over {
        Some(over) => format!("{} ({size} {over})", measure.title),
        None => measure.title.to_owned(),
    }
}

#[cfg(test)]
mod tests;

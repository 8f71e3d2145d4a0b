//! What is known to be otherwise in a server that serves as a control.
//!
//! A line of `deviations/synapse.txt`: `Name` or `Name / row`, ` | `, the reason. Who is listed must
//! fail, or the line is struck off.

use crate::case::Failure;

const SYNAPSE: &str = include_str!("../deviations/synapse.txt");

/// Where a server is known to deviate.
#[derive(Debug, Default)]
pub struct Deviations(Vec<(String, Option<String>)>);

impl Deviations {
    /// Those of Synapse.
    pub fn of_synapse() -> Self {
        let lines = SYNAPSE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(parse).collect())
    }

    /// Is this failure known?
    pub fn explain(&self, case: &str, failure: &Failure) -> bool {
        self.0.iter().any(|(name, row)| name == case && *row == failure.row)
    }

    /// Rows of this case that should have failed and did not.
    pub fn gone(&self, case: &str, failures: &[Failure]) -> Vec<String> {
        let of_case = self.0.iter().filter(|(name, _)| name == case);
        let held = of_case.filter(|(_, row)| !failures.iter().any(|f| f.row == *row));
        held.map(|(_, row)| row.clone().unwrap_or_else(|| "the whole".into())).collect()
    }
}

fn parse(line: &str) -> (String, Option<String>) {
    let (what, _reason) = line.split_once(" | ").unwrap_or_else(|| panic!("no reason in {line}"));
    match what.split_once(" / ") {
        Some((name, row)) => (name.into(), Some(row.into())),
        None => (what.into(), None),
    }
}

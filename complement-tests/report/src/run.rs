//! One run: what was tested, and the result of each test and sub-test.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    io::{self, BufRead},
};

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// What was tested, where and when: the first line of a file of results.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
pub(crate) struct About {
    /// Of the run, as 2026-01-31.
    #[arg(long)]
    date: String,
    /// The commit of this project.
    #[arg(long)]
    kontor: String,
    /// The commit of Complement.
    #[arg(long)]
    complement: String,
    #[arg(long)]
    machine: String,
    /// What else one should know of the run: how long it took, what ran beside it.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conditions: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Pass,
    Fail,
    Skip,
}

/// One line of a file of results.
#[derive(Serialize, Deserialize)]
struct Line {
    area: String,
    name: String,
    result: Outcome,
}

/// What Go says of a test; other messages have no name or another action.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    action: String,
    package: Option<String>,
    test: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    about: About,
    /// By area and name.
    outcomes: BTreeMap<(String, String), Outcome>,
}

impl Run {
    /// A test that was begun and has no end, because its process died, has failed.
    pub(crate) fn collect(about: About, messages: impl BufRead) -> io::Result<Self> {
        let mut outcomes = BTreeMap::new();
        for line in messages.lines() {
            // What is not JSON was written by the Go tool itself.
            let Ok(message) = serde_json::from_str::<Message>(&line?) else { continue };
            let (Some(package), Some(name)) = (message.package, message.test) else { continue };
            let outcome = match message.action.as_str() {
                "pass" => Outcome::Pass,
                "run" | "fail" => Outcome::Fail,
                "skip" => Outcome::Skip,
                _ => continue,
            };
            outcomes.insert((area(&package), name), outcome);
        }
        Ok(Self { about, outcomes })
    }

    pub(crate) fn write(&self) -> io::Result<String> {
        let mut text = serde_json::to_string(&self.about)? + "\n";
        for ((area, name), result) in &self.outcomes {
            let (area, name) = (area.clone(), name.clone());
            text += &serde_json::to_string(&Line { area, name, result: *result })?;
            text.push('\n');
        }
        Ok(text)
    }

    pub(crate) fn read(text: &str) -> io::Result<Self> {
        let mut lines = text.lines();
        let about = serde_json::from_str(lines.next().unwrap_or_default())?;
        let mut outcomes = BTreeMap::new();
        for line in lines {
            let Line { area, name, result } = serde_json::from_str(line)?;
            outcomes.insert((area, name), result);
        }
        Ok(Self { about, outcomes })
    }

    /// A table: passed, failed and skipped tests of each area, and with their sub-tests.
    pub(crate) fn by_area(&self) -> String {
        let mut areas: BTreeMap<&str, [usize; 6]> = BTreeMap::new();
        for ((area, name), outcome) in &self.outcomes {
            let column = *outcome as usize;
            for area in [area.as_str(), "all"] {
                let counts = areas.entry(area).or_default();
                counts[column + 3] += 1;
                counts[column] += usize::from(!name.contains('/'));
            }
        }
        let About { date, kontor, complement, machine, conditions } = &self.about;
        let mut text = format!("{date}, Kontor {kontor}, Complement {complement}, {machine}\n");
        if let Some(conditions) = conditions {
            text += &format!("{conditions}\n");
        }
        text.push('\n');
        text += "area       tests: pass fail skip   with sub-tests: pass fail skip\n";
        for (area, [pass, fail, skip, all_pass, all_fail, all_skip]) in areas {
            let _ = writeln!(
                text,
                "{area:<14}{pass:>8}{fail:>5}{skip:>5}{all_pass:>23}{all_fail:>5}{all_skip:>5}"
            );
        }
        text
    }

    /// How many top-level tests there are, and how they ended.
    pub(crate) fn summary(&self) -> String {
        let tests = self.outcomes.iter().filter(|((_, name), _)| !name.contains('/'));
        let mut counts = [0; 3];
        for (_, outcome) in tests {
            counts[*outcome as usize] += 1;
        }
        let [pass, fail, skip] = counts;
        let all = self.outcomes.len();
        format!("{pass} tests pass, {fail} fail, {skip} skipped, {all} with sub-tests")
    }

    /// Every test that did not end in the other run as it did in this one, one line each.
    pub(crate) fn differences(&self, other: &Self) -> String {
        let mut text = String::new();
        let keys: BTreeSet<_> = self.outcomes.keys().chain(other.outcomes.keys()).collect();
        for key in keys {
            let (one, two) = (self.outcomes.get(key), other.outcomes.get(key));
            if one != two {
                let told = |outcome: Option<&Outcome>| match outcome {
                    Some(Outcome::Pass) => "pass",
                    Some(Outcome::Fail) => "fail",
                    Some(Outcome::Skip) => "skip",
                    None => "was not run",
                };
                let _ = writeln!(text, "{} {}: {}, {}", key.0, key.1, told(one), told(two));
            }
        }
        text
    }

    /// What became better or worse since an older run, one line each.
    pub(crate) fn since(&self, older: &Self) -> String {
        let mut text = String::from("\n");
        let passes = |run: &Self, key| run.outcomes.get(key) == Some(&Outcome::Pass);
        for key in self.outcomes.keys() {
            let sign = match (passes(older, key), passes(self, key)) {
                (false, true) => '+',
                (true, false) => '-',
                _ => continue,
            };
            let _ = writeln!(text, "{sign} {} {}", key.0, key.1);
        }
        text
    }
}

/// `github.com/matrix-org/complement/tests/csapi` is `csapi`.
fn area(package: &str) -> String {
    let (_, area) = package.rsplit_once('/').unwrap_or(("", package));
    if area == "tests" { "federation".to_owned() } else { area.to_owned() }
}

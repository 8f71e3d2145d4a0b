//! Keeps results of Complement as data, prints them by area, and compares two of them.
//!
//! ```text
//! go test -json ./tests/... | complement-report collect --kontor COMMIT --complement COMMIT \
//!     --machine "2 cores" --date 2026-01-31 > results/complement.jsonl
//! complement-report show results/complement.jsonl [OLDER]
//! complement-report same results/complement.jsonl results/again.jsonl
//! ```

mod run;

use std::{
    fs,
    io::{self, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::run::{About, Run};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Reads what `go test -json` says, and writes results.
    Collect {
        #[command(flatten)]
        about: About,
    },
    /// Prints results by area, and what became better and worse since an older run.
    Show { results: PathBuf, older: Option<PathBuf> },
    /// Prints every test that did not end the same way in two runs, and fails if there is one.
    Same { one: PathBuf, other: PathBuf },
}

fn main() -> ExitCode {
    match act(Arguments::parse().act) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("complement-report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(act: Act) -> Result<String, io::Error> {
    match act {
        Act::Collect { about } => Run::collect(about, BufReader::new(io::stdin()))?.write(),
        Act::Same { one, other } => {
            let (one, other) = (read(&one)?, read(&other)?);
            match one.differences(&other) {
                text if text.is_empty() => Ok(one.summary() + ", in both runs\n"),
                text => Err(io::Error::other(format!("the runs differ:\n{text}"))),
            }
        }
        Act::Show { results, older } => {
            let run = read(&results)?;
            let older = older.as_deref().map(read).transpose()?;
            Ok(run.by_area() + &older.map_or_else(String::new, |older| run.since(&older)))
        }
    }
}

fn read(path: &Path) -> Result<Run, io::Error> {
    Run::read(&fs::read_to_string(path)?)
}

//! Hears what a process acknowledges, and looks afterwards whether it is there.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use kv::{BatchId, HomeserverId, Outcome, Store};

use crate::{FOLDER, HOMESERVERS, LOG, ROUND, ROWS, number, open};

/// A round ends after at most so many acknowledgements.
const ACKNOWLEDGED_MAX: u64 = 400;

/// Every commit that was acknowledged so far, by homeserver and number, with its version.
#[derive(Default)]
pub(crate) struct Witness {
    acknowledged: HashMap<(u32, u64), u64>,
}

/// A process that commits.
pub(crate) struct Writer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Witness {
    /// Starts a process on the store, and comes back when it has acknowledged some commits.
    pub fn start(&mut self, folder: &Path, round: u64) -> Writer {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["the_process_that_is_ended", "--exact", "--nocapture"])
            .env(FOLDER, folder)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut told = lines.by_ref().map(|line| line.expect("a line")).filter_map(parse);
        // Different on every run; any number will do.
        for _ in 0..1 + RandomState::new().hash_one(round) % ACKNOWLEDGED_MAX {
            let (name, version) = told.next().expect("the process commits until it is ended");
            self.acknowledged.insert(name, version);
        }
        Writer { child, lines }
    }

    /// Holds the process where it is, for ever.
    pub fn freeze(&self, writer: &Writer) {
        harness::freeze(writer.child.id());
    }

    /// Kills the process. What it said before it died counts as well.
    pub fn end(&mut self, mut writer: Writer) {
        writer.child.kill().expect("a kill");
        writer.child.wait().expect("an end");
        self.acknowledged.extend(writer.lines.map_while(Result::ok).filter_map(parse));
    }

    /// Opens the store: all that was acknowledged is there, and every commit whole.
    pub fn check(&self, folder: &Path) {
        let engine = open(folder);
        for homeserver in 0..HOMESERVERS {
            self.check_homeserver(&Store::new(engine.clone(), HomeserverId(homeserver)));
        }
    }

    fn check_homeserver(&self, store: &Store) {
        let snapshot = store.snapshot();
        let mut log = Vec::new();
        let scanned = snapshot.scan_prefix(LOG, b"", |key, value| {
            log.push((number(key), number(&value)));
            Ok(())
        });
        scanned.expect("a scan");
        let version = store.version().expect("a version");
        assert_eq!(log.len() as u64, version);
        assert!(log.iter().zip(1..).all(|((found, _), expected)| *found == expected));
        let count = snapshot.get(ROWS, b"count").expect("a read").map_or(0, |row| number(&row));
        assert_eq!(count, version, "each commit counted itself once");
        let own = self.acknowledged.iter().filter(|((of, _), _)| *of == store.homeserver().0);
        for ((_, n), version) in own {
            assert_eq!(log.get(*version as usize - 1), Some(&(*version, *n)));
            assert!(snapshot.get(ROWS, &n.to_be_bytes()).expect("a read").is_some());
            let outcome = store.outcome(BatchId((*n).into())).expect("an outcome");
            assert_eq!(outcome, Outcome::Committed(*version));
        }
    }
}

fn parse(line: String) -> Option<((u32, u64), u64)> {
    let mut numbers = line.strip_prefix("acknowledged ")?.split(' ');
    let homeserver = numbers.next()?.parse().ok()?;
    let n = numbers.next()?.parse().ok()?;
    // A line that was cut short was not said.
    let version = numbers.next()?.strip_suffix('.')?.parse().ok()?;
    Some(((homeserver, n), version))
}

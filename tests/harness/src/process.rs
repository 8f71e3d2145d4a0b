//! A child process whose output goes to a file that is shown when a test fails.

use crate::wait::within;
use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

const LINES_SHOWN: usize = 80;

/// A running child; it dies with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command whose output is appended to the file `log`.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let output = append_to(log);
        let errors = output.try_clone().expect("the log file can be opened twice");
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        Self { child, log: log.into() }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// `kill -9`, and waits until it is dead.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Asks it to stop, and waits until it has.
    pub async fn terminate(&mut self, patience: Duration) -> ExitStatus {
        self.signal("TERM");
        within(patience, "the process ends after SIGTERM", async || self.ended()).await
    }

    /// Sends a signal by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        // A shell, because `kill` is built into it, whereas the program may be absent.
        let line = format!("kill -{name} {}", self.child.id());
        let done = Command::new("sh").args(["-c", &line]).status().expect("sh can be started");
        assert!(done.success(), "{line}: {done}");
    }

    /// Memory that it holds now (RSS), in bytes.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line VmRSS");
        let kibibytes: u64 =
            line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("kB after VmRSS");
        kibibytes * 1024
    }

    /// What it wrote last.
    pub fn last_words(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().collect::<Vec<_>>();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the last lines of {}\n{}", self.log.display(), self.last_words());
        }
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Output {
    command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"))
}

fn append_to(log: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap_or_else(|e| panic!("{}: {e}", log.display()))
}

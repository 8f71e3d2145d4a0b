//! A child process whose output goes to a file that is shown when a test fails.

use crate::wait::within;
use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

const LINES_SHOWN: usize = 80;
/// In /proc/PID/stat, after the program's name.
const FIELDS_BEFORE_UTIME: usize = 11;
/// Linux tells times to programs in hundredths of a second, whatever it counts in itself.
const TICK_MS: u64 = 10;

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

    /// See [`freeze`].
    pub fn freeze(&self) {
        freeze(self.child.id());
    }

    /// Sends a signal by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
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

    /// Processor time that it has used since its start, in the kernel's ticks of 10 ms.
    pub fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        // The second field is the program's name, which may hold anything, in parentheses.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks: u64 = fields
            .split_whitespace()
            .skip(FIELDS_BEFORE_UTIME)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("utime and stime are numbers"))
            .sum();
        Duration::from_millis(ticks * TICK_MS)
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

/// Holds a process where it is, and comes back when none of its threads runs any more: what is
/// under way in the kernel may end, but nobody hears of it.
pub fn freeze(pid: u32) {
    signal(pid, "STOP");
    while states(pid).contains(&'R') {
        std::thread::yield_now();
    }
}

fn signal(pid: u32, name: &str) {
    // A shell, because `kill` is built into it, whereas the program may be absent.
    let line = format!("kill -{name} {pid}");
    let done = Command::new("sh").args(["-c", &line]).status().expect("sh can be started");
    assert!(done.success(), "{line}: {done}");
}

/// What the process's threads do, each in a letter (proc_pid_stat(5)).
fn states(pid: u32) -> Vec<char> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    let stats =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    // The state stands behind the name, which is in brackets and may hold anything.
    stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
}

fn append_to(log: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap_or_else(|e| panic!("{}: {e}", log.display()))
}

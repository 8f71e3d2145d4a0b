//! Synapse's part: `oracle.py` in a process of its own, asked over a pipe.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use ruma::OwnedEventId;
use serde::Deserialize;
use serde_json::json;

use crate::{
    history::History,
    judge::{Judgement, State},
};

/// Synapse, ready to judge one room after the other.
pub struct Oracle {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What Synapse says about a room.
pub struct Verdict {
    pub judgement: Judgement,
    /// How many resolutions that took, and in how many of them Synapse compared the auth chains itself.
    pub resolved: usize,
    pub by_chains_of_synapse: usize,
}

/// An entry of a state: type, state key, event.
type Entry = (String, String, OwnedEventId);

#[derive(Deserialize)]
struct Answer {
    rejected: BTreeMap<OwnedEventId, String>,
    merges: BTreeMap<OwnedEventId, Vec<Entry>>,
    meetings: Vec<Vec<Entry>>,
    resolved: usize,
    by_chains_of_synapse: usize,
}

impl Oracle {
    pub fn start() -> Self {
        let program =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/state_resolution/oracle.py");
        let mut process = Command::new(harness::python())
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python can be started");
        let questions = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        Self { process, questions, answers }
    }

    /// Tells Synapse the room's events, and hears what it makes of them.
    pub fn judge(&mut self, history: &History) -> Verdict {
        let question = json!({
            "version": history.version,
            "events": history.events.iter().map(|pdu| pdu.to_wire()).collect::<Vec<_>>(),
            "meetings": history.meetings,
        });
        writeln!(self.questions, "{question}").expect("the oracle listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the oracle answers");
        let answer: Answer = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{}: {error}: {line:?}", history.name()));
        let merges = answer.merges.into_iter().map(|(event, entries)| (event, state(entries)));
        Verdict {
            judgement: Judgement {
                rejected: answer.rejected,
                merges: merges.collect(),
                meetings: answer.meetings.into_iter().map(state).collect(),
            },
            resolved: answer.resolved,
            by_chains_of_synapse: answer.by_chains_of_synapse,
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn state(entries: Vec<Entry>) -> State {
    entries.into_iter().map(|(event_type, key, event)| ((event_type, key), event)).collect()
}

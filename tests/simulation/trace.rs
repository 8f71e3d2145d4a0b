//! What happened in a run, step by step: the time, who did it and how it went.

use std::{fmt::Display, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;

/// The story of a run. Cheap to clone.
#[derive(Clone)]
pub struct Trace(Arc<Story>);

struct Story {
    began: Instant,
    /// Told on the terminal as it happens.
    loud: bool,
    lines: Mutex<Vec<String>>,
}

impl Trace {
    pub fn new(began: Instant, loud: bool) -> Self {
        Self(Arc::new(Story { began, loud, lines: Mutex::default() }))
    }

    pub fn note(&self, actor: impl Display, what: impl Display) {
        let seconds = self.0.began.elapsed().as_secs_f64();
        let line = format!("{seconds:>10.3}  {actor:<8}  {what}");
        if self.0.loud {
            println!("{line}");
        }
        self.0.lines.lock().push(line);
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lines.lock().clone()
    }
}

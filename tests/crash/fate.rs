//! How a server dies.

use harness::{Disk, Server};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a server has after its disk has failed to say so to somebody.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub enum Fate {
    /// `kill -9`.
    Kill,
    /// The disk that holds its data stops, and then it dies.
    PowerCut(Disk),
}

impl Fate {
    /// What the server must be started with.
    pub fn environment(&self) -> Vec<(String, String)> {
        match self {
            Self::Kill => Vec::new(),
            Self::PowerCut(disk) => {
                let data = disk.root().join("data");
                vec![("KONTOR__DATA_DIR".into(), data.display().to_string())]
            }
        }
    }

    /// Whether the server may say that it cannot do something, before it is gone.
    pub fn allows_refusals(&self) -> bool {
        matches!(self, Self::PowerCut(_))
    }

    /// Ends the server, under the work that goes on, and starts it again.
    pub async fn strike<T: 'static>(
        &mut self,
        server: &mut Server,
        work: &mut JoinSet<T>,
    ) -> Vec<T> {
        let mut done = Vec::new();
        match self {
            Self::Kill => server.kill(),
            Self::PowerCut(disk) => {
                disk.cut_power();
                // What it acknowledges now is not on the disk.
                let refused = tokio::time::timeout(PATIENCE, work.join_next()).await;
                let refused = refused.expect("the server says that it cannot write");
                done.extend(refused.map(|worker| worker.expect("a worker")));
                server.kill();
                disk.restore_power();
            }
        }
        while let Some(worker) = work.join_next().await {
            done.push(worker.expect("a worker"));
        }
        server.start().await;
        done
    }
}

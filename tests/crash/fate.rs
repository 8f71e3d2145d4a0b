//! How a server dies.

use harness::{Disk, Server};

#[derive(Debug)]
pub enum Fate {
    /// `kill -9`.
    Kill,
    /// It and the disk that holds its data stop at once.
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

    /// Ends the server, under the work that goes on, and starts it again.
    pub async fn strike(&mut self, server: &mut Server) {
        match self {
            Self::Kill => server.kill(),
            Self::PowerCut(disk) => {
                server.process().freeze();
                disk.cut_power();
                server.kill();
                disk.restore_power();
            }
        }
        server.start().await;
    }
}

//! Whose servers are measured, and how thoroughly.

use harness::{Authority, Kind, Options, Server};
use std::{path::PathBuf, sync::Arc};

/// A homeserver's software.
#[derive(Clone, Debug)]
pub enum Target {
    /// Ours: the release binary.
    Kontor(PathBuf),
    /// Synapse from PyPI, on SQLite.
    Synapse,
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scale {
    /// Seconds: shows that the tool works, measures nothing.
    Smoke,
    /// Some minutes.
    Small,
    /// A quarter of an hour for both targets.
    Full,
}

/// What a workload is run with.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Whose servers.
    pub target: Target,
    /// How thoroughly.
    pub scale: Scale,
    pub(crate) authority: Arc<Authority>,
}

/// Of what is done for Kontor, a slow server gets this part: its figures need fewer repetitions.
const PART_FOR_SLOW: u64 = 20;

impl Target {
    /// Its name in the report.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kontor(_) => "Kontor",
            Self::Synapse => "Synapse",
        }
    }

    /// What is on disk when it answers that a message was sent.
    pub fn durability(&self) -> &'static str {
        match self {
            Self::Kontor(_) => "synced to disk before the answer, in groups",
            Self::Synapse => {
                "SQLite as Synapse sets it up (WAL, synchronous=FULL): synced at each commit"
            }
        }
    }
}

impl Bench {
    /// A bench for a target.
    pub fn new(target: Target, scale: Scale) -> Self {
        Self { target, scale, authority: Arc::new(Authority::new()) }
    }

    /// Whether it is ours.
    pub(crate) fn is_kontor(&self) -> bool {
        matches!(self.target, Target::Kontor(_))
    }

    /// How often to do what is done `full` times in a full run against Kontor.
    pub(crate) fn times(&self, full: u64) -> u64 {
        let scaled = match self.scale {
            Scale::Smoke => return (full / 1_000).clamp(2, 20),
            Scale::Small => full / 4,
            Scale::Full => full,
        };
        let part = if self.is_kontor() { scaled } else { scaled / PART_FOR_SLOW };
        part.max(20)
    }

    /// The sizes at which to measure.
    pub(crate) fn sizes<'a>(
        &self,
        smoke: &'a [u64],
        small: &'a [u64],
        full: &'a [u64],
    ) -> &'a [u64] {
        match self.scale {
            Scale::Smoke => smoke,
            Scale::Small => small,
            Scale::Full => full,
        }
    }

    /// A running server of one homeserver.
    pub(crate) async fn server(&self) -> Server {
        self.server_with(1).await
    }

    /// A running server of several homeservers.
    pub(crate) async fn server_with(&self, homeservers: u8) -> Server {
        Server::started(self.kind(), &self.authority, self.options(homeservers)).await
    }

    fn kind(&self) -> Kind {
        match &self.target {
            Target::Kontor(binary) => Kind::Kontor(binary.clone()),
            Target::Synapse => Kind::Synapse,
        }
    }

    fn options(&self, homeservers: u8) -> Options {
        // Thousands of connections come from this one address.
        let environment = [
            ("KONTOR__HTTP__CONNECTIONS_PER_ADDRESS_MAX", "100000"),
            ("KONTOR__HTTP__CONNECTIONS_MAX", "100000"),
        ];
        let environment = environment.map(|(key, value)| (key.into(), value.into())).to_vec();
        Options { homeservers, environment, ..Options::default() }
    }
}
